"""Wan 2.1's image-to-video networks as an arm: a picture and a caption in, a video that begins with the picture out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salt_bench import record
from salt_bench.prompts import pictures
from salt_bench.types import Clip, Log, Prompt
from salt_train import codecs, published
from salt_train.backbones.wan_image import WanImage, WanImageSpec
from salt_train.codecs.captions import Captions
from salt_train.codecs.pictures import Pictures
from salt_train.codecs.umt5 import UMT5, UMT5Captions
from salt_train.codecs.wan_vae import WanVAE
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Sampling, checkpoints
from salt_train.sampler import FlowSampler


@dataclass(frozen=True)
class ImageToVideo:
    """The published network in `weights`, all frames at once. `images` is a folder of first frames, named as VBench-I2V names
    them, or <prompt text>.png; how they are read the pipeline of `codec` and `text` says."""

    weights: str
    network: WanImageSpec
    codec: WanVAE
    text: UMT5
    sampling: Sampling
    images: str

    def __post_init__(self) -> None:
        if self.sampling.chunks is not None:
            raise ValueError("an image-to-video network makes all frames at once: leave the chunks of its sampling out")

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def sampler(self, seed: int, workdir: Path) -> PictureSampler:
        codec, text = codecs.fitted(self.codec, checkpoints(workdir)), codecs.captions(PromptFile(""), self.text)
        net = self.network.build(self.codec.channels, text.words)
        published.fill(net, self.weights)
        reads = Pictures(self.codec.source, codec)
        return PictureSampler(net.requires_grad_(False).eval(), reads, text, self.sampling, Path(self.images))

    def at(self, grid: tuple[float, ...]) -> ImageToVideo:
        return replace(self, sampling=replace(self.sampling, grid=tuple(grid)))

    def small(self) -> ImageToVideo:
        return self

    def identity(self, seed: int) -> Mapping[str, Any]:
        """All but how it is run."""
        said: dict[str, Any] = record.dump(self)
        return {name: value for name, value in said.items() if name not in ("sampling", "images")}

    def protocol(self) -> Mapping[str, Any]:
        """First frames count by what they show, not by where they lie."""
        return {**record.dump(self.sampling), "images": pictures.digest(Path(self.images))}

    def evidence(self, seed: int, workdir: Path) -> str:
        return published.digest(self.weights)


@dataclass(frozen=True, eq=False)
class PictureSampler:
    """One prompt at a time by the sampler of all other networks: the same names of noise, the same grids and guidance, whose
    two sides both see the picture."""

    net: WanImage
    reads: Pictures
    captions: Captions | UMT5Captions
    sampling: Sampling
    images: Path

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        self.captions.ready(prompts)
        for prompt in prompts:
            picture = self.reads(pictures.find(self.images, prompt))
            yield from FlowSampler(self.net.beginning(picture), self.reads.codec, self.captions, self.sampling)([prompt], seed)
