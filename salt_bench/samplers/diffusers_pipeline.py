"""Any text-to-video or image-to-video pipeline of diffusers as an arm: `diffusers:FOLDER_OR_HUB_NAME@steps=4,guidance=1`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench import words
from salt_bench.errors import UserError, WrongUse, words_of
from salt_bench.prompts import pictures
from salt_bench.rng import Draws
from salt_bench.samplers import pipeline_files
from salt_bench.samplers.pipeline_settings import CALLED, CLOCKS, Settings, takes
from salt_bench.types import ArrayClip, Clip, Log, Prompt

PREFIX = "diffusers:"
HUB = re.compile(r"[\w.-]+/[\w.-]+")
DENOISERS = ("transformer", "unet")
"""How the components begin whose evaluations count."""
OURS = ("WanPipeline", "WanImageToVideoPipeline")
"""Those that begin from the noise of our own samplers of the same networks."""
RATES = {"Wan": 16.0, "AnyFlow": 16.0}
"""Frames per second of those whose call does not know any, by how their class's name begins."""


@dataclass(frozen=True)
class DiffusersPipeline:
    """A pipeline as it is published: nothing is trained, and a grid changes nothing, since its scheduler makes its own.

    `source` is a folder in diffusers' layout or a hub's name. Weights are read from safetensors alone."""

    source: str
    settings: Settings = field(default_factory=Settings)

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        """Fetches a pipeline that a hub's name stands for."""
        if pipeline_files.folder(self.source):
            return False
        pipeline_files.fetch(self.source)
        return True

    def sampler(self, seed: int, workdir: Path) -> PipelineSampler:
        return PipelineSampler(pipeline_files.loaded(self.source, self.settings), self.settings)

    def at(self, grid: tuple[float, ...]) -> DiffusersPipeline:
        return self

    def small(self) -> DiffusersPipeline:
        return self

    def protocol(self) -> Mapping[str, Any]:
        """All settings but where it runs; first frames count by what they show, not by where they lie."""
        said = {name: value for name, value in asdict(self.settings).items() if value not in (None, "")}
        shown = {"images": pictures.digest(Path(self.settings.images))} if self.settings.images else {}
        return {name: value for name, value in said.items() if name not in ("device", "transformer")} | shown

    def identity(self, seed: int) -> Mapping[str, Any]:
        """The files themselves where they are there; where they lie says nothing about them."""
        return {"pipeline": self.evidence(seed, Path()) or self.source}

    def evidence(self, seed: int, workdir: Path) -> str:
        own, other = pipeline_files.folder(self.source), self.settings.transformer
        if own is None:
            return ""
        return pipeline_files.evidence((own, Path(other)) if other else (own,))


def pipeline_arm(word: str) -> DiffusersPipeline | None:
    """The arm that "diffusers:SOURCE" or "diffusers:SOURCE@NAME=VALUE,…" on the command line stands for; None for other words.

    Raises WrongUse for a setting that there is none of, UserError where the folder holds no pipeline."""
    if not word.startswith(PREFIX):
        return None
    source, settings = words.split(word.removeprefix(PREFIX))
    index = Path(source) / pipeline_files.INDEX
    if not index.is_file() and (Path(source).exists() or not HUB.fullmatch(source)):
        where = "name a pipeline's folder in diffusers' layout, or a hub's name"
        raise UserError(f"{source or word} holds no {index.name}: {where}")
    return DiffusersPipeline(source, words.parsed(Settings, settings))


# -------------------------------------------------------------------------------------------------------------- sampling


@dataclass(frozen=True, eq=False)
class PipelineSampler:
    """Asks a pipeline for one prompt at a time, so that a clip does not depend on its batch. All noise of a clip is named by
    its sample seed and prompt; Wan's latents begin as every other sampler's of Wan do. `nfe` is counted, not computed."""

    pipeline: Any
    settings: Settings

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        for prompt in prompts:
            yield self._clip(prompt, seed)

    @functools.cached_property
    def takes(self) -> dict[str, Any]:
        """What the pipeline's call takes → its default there."""
        return takes(type(self.pipeline))

    @property
    def fps(self) -> float:
        """Frames per second: as asked, as the pipeline's call has it, or as its makers say."""
        own = next((float(self.takes[name]) for name in CLOCKS if self.takes.get(name)), None)
        name = type(self.pipeline).__name__
        said = self.settings.fps or own or next((rate for head, rate in RATES.items() if name.startswith(head)), None)
        if said is None:
            raise WrongUse(f"{name} does not say how fast its videos run: add fps=… to the settings")
        return said

    def _clip(self, prompt: Prompt, seed: int) -> ArrayClip:
        import torch

        draws, fps = Draws(seed)("sample", prompt.id), self.fps
        generator = torch.Generator("cpu").manual_seed(draws("pipeline").choice(2**62))
        asked = {"prompt": prompt.text, "generator": generator, "output_type": "np"} | self._called()
        with torch.inference_mode(), _counting(self.pipeline) as count:
            frames = self._frames(asked | self._noise(draws) | self._first(prompt))
        return ArrayClip(prompt, seed, np.round(np.clip(frames, 0, 1) * 255).astype(np.uint8), fps, sum(count))

    def _frames(self, asked: Mapping[str, Any]) -> np.ndarray:
        """Floats (T, H, W, C) in [0, 1]."""
        try:
            found: np.ndarray = self.pipeline(**asked).frames[0]
        except (ValueError, TypeError) as error:
            raise UserError(f"{type(self.pipeline).__name__} refuses what it is asked: {words_of(error)}") from error
        return found

    def _called(self) -> dict[str, Any]:
        """The settings under the names that the pipeline has for them."""
        told = asdict(self.settings)
        clock = {name: told["fps"] for name in CLOCKS if name in self.takes and told["fps"]}
        return {called: told[name] for name, called in CALLED.items() if told[name] not in (None, "")} | clock

    def _noise(self, draws: Draws) -> dict[str, Any]:
        """Wan's first latents (1, C, F, H, W); what other pipelines draw comes from the generator."""
        import torch

        if type(self.pipeline).__name__ not in OURS:
            return {}
        frames, height, width = (getattr(self.settings, n) or self.takes[CALLED[n]] for n in ("frames", "height", "width"))
        time, space = self.pipeline.vae_scale_factor_temporal, self.pipeline.vae_scale_factor_spatial
        if frames % time != 1:
            raise WrongUse(f"Wan's clips have {time}n + 1 frames, got frames={frames}")
        shape = (self.pipeline.transformer.config.out_channels, (frames - 1) // time + 1, height // space, width // space)
        return {"latents": torch.from_numpy(draws("noise").normal(shape))[None]}

    def _first(self, prompt: Prompt) -> dict[str, Any]:
        """The picture that a video begins with, where the pipeline wants one."""
        from PIL import Image

        if not self.settings.images:
            return {}
        return {"image": Image.open(pictures.find(Path(self.settings.images), prompt)).convert("RGB")}


@contextmanager
def _counting(pipeline: Any) -> Iterator[list[int]]:
    """A list that grows by the batch of every evaluation of a network that denoises."""
    count: list[int] = []

    def seen(_module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        count.append(len(named["hidden_states"] if "hidden_states" in named else args[0]))

    nets = [net for name, net in pipeline.components.items() if name.startswith(DENOISERS) and net is not None]
    hooks = [net.register_forward_pre_hook(seen, with_kwargs=True) for net in nets]
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()
