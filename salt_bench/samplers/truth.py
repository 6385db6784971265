"""The world itself as an arm: what every sampler would draw if it made no mistake. The upper end of a study's scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench import record
from salt_bench.types import ArrayClip, Clip, Log, Prompt

if TYPE_CHECKING:
    from salt_bench.worlds.base import World

_BATCH = 32  # prompts per call of the renderer: a clip does not depend on it


@dataclass(frozen=True)
class Truth:
    """An arm whose clips are the world's own; it has nothing to train, no grid and no network.

    They are `frames` long (None: as long as the world's), and count as made in chunks of `chunk` frames (0: at once), which is
    what gives judges of chunks their anchor."""

    world: World
    frames: int | None = None
    chunk: int = 0

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def sampler(self, seed: int, workdir: Path) -> TruthSampler:
        return TruthSampler(self.world, self.frames, self.chunk)

    def at(self, grid: tuple[float, ...]) -> Truth:
        return self

    def protocol(self) -> Mapping[str, Any]:
        """Empty for the world's own clips, as it was before there were others: what was measured on them stays measured."""
        return {name: value for name, value in (("frames", self.frames), ("chunk", self.chunk)) if value}

    def small(self) -> Truth:
        return self

    def identity(self, seed: int) -> Mapping[str, Any]:
        return {"truth": record.dump(self.world)}

    def evidence(self, seed: int, workdir: Path) -> str:
        return record.fingerprint(self.identity(seed))


@dataclass(frozen=True)
class TruthSampler:
    """Draws the true video of each prompt; `nfe` is 0."""

    world: World
    frames: int | None = None
    chunk: int = 0

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        for start in range(0, len(prompts), _BATCH):
            batch = prompts[start : start + _BATCH]
            for prompt, pixels in zip(batch, self.world.render(batch, seed, self.frames), strict=True):
                yield ArrayClip(prompt, seed, pixels, self.world.fps, chunk=self.chunk)
