"""True clips through a codec and back: the best that any model on these latents can draw. An arm for `salt-bench judges`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from salt_bench import record
from salt_bench.types import ArrayClip, Clip, Log, Prompt
from salt_train import codecs
from salt_train.codecs.pca import PCACodec, PCAWeights

BATCH = 32


@dataclass(frozen=True)
class RoundTrip:
    """An arm with no grid and no network: `codec`'s world, encoded and decoded."""

    codec: PCACodec

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def sampler(self, seed: int, workdir: Path) -> RoundTripSampler:
        return RoundTripSampler(codecs.fitted(self.codec, workdir / "checkpoints"))

    def at(self, grid: tuple[float, ...]) -> RoundTrip:
        return self

    def protocol(self) -> Mapping[str, Any]:
        return {}

    def small(self) -> RoundTrip:
        return self

    def identity(self, seed: int) -> Mapping[str, Any]:
        return {"round trip": record.dump(self.codec)}

    def evidence(self, seed: int, workdir: Path) -> str:
        return record.fingerprint(self.identity(seed))


@dataclass(frozen=True, eq=False)
class RoundTripSampler:
    """Draws decode(encode(truth)) of each prompt; `nfe` is 0."""

    weights: PCAWeights

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        world = self.weights.codec.world
        for first in range(0, len(prompts), BATCH):
            batch = prompts[first : first + BATCH]
            with torch.inference_mode():
                frames = self.weights.decode(self.weights.encode(torch.from_numpy(world.render(batch, seed))))
            for prompt, pixels in zip(batch, frames.numpy(), strict=True):
                yield ArrayClip(prompt, seed, pixels, world.fps)


def codec_arm(word: str) -> RoundTrip | None:
    """The arm that the word "codec" on the command line stands for: the codec that all recipes of the embedded world share."""
    if word != "codec":
        return None
    from salt_train.methods.shapes import CODEC

    return RoundTrip(CODEC)
