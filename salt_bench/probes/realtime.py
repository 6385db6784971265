"""Whether a model makes video as fast as it is played: one video at a time, piece by piece, as the one who waits sees it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from salt_bench import playback, record
from salt_bench.errors import WrongUse
from salt_bench.playback import Watched
from salt_bench.probes.base import Probe
from salt_bench.types import Arm, Live, LiveArm, Log, Output, Prompt, Running

PARTS = ("rate", "first", "p90", "real time")
"""Of the numbers in `playback.OUTPUTS`, those that a study compares; `salt-bench speed` shows all."""


@dataclass(frozen=True)
class RealTime(Probe):
    """How fast a model makes video under each of `grids` (named by their step counts) in each of `scopes`: of the first `most`
    test prompts, the medians of `repeats` videos each, after `warm` that do not count. Wall-clock time: the machine should have
    nothing else to do.

    A clock never gives the same bytes twice: these numbers are outside of that promise."""

    grids: tuple[tuple[float, ...], ...]
    scopes: tuple[str, ...] = ("denoise+decode",)
    running: Running = field(default_factory=Running)
    most: int = 8
    warm: int = 1
    repeats: int = 3
    name: ClassVar[str] = "realtime"

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {_named(scope, part, grid): output for scope, part, grid, output in self._each()}

    def _each(self) -> Iterator[tuple[str, str, tuple[float, ...], Output]]:
        for scope, part, grid in itertools.product(self.scopes, PARTS, self.grids):
            output, steps = playback.OUTPUTS[part], len(grid)
            yield scope, part, grid, replace(output, title=f"{output.title}, {scope}, {steps} steps")

    def __call__(
        self, arm: Arm, train_seed: int, workdir: Path, prompts: Sequence[Prompt], sample_seed: int, log: Log
    ) -> Iterator[tuple[Prompt, dict[str, float | None]]]:
        models = [ready(arm.at(grid), train_seed, workdir, self.running) for grid in self.grids]
        chosen = [p for p in prompts if "validation" not in p.tags][: self.most]
        for done, prompt in enumerate(chosen, start=1):
            values: dict[str, float | None] = {}
            for (grid, model), scope in itertools.product(zip(self.grids, models, strict=True), self.scopes):
                videos = list(watch(model, prompt, sample_seed, scope, self.warm, self.repeats))
                found = playback.summary(videos, model.fps, model.steady)
                values |= {_named(scope, part, grid): found[part] for part in PARTS}
            log("probe", done / len(chosen))
            yield prompt, values

    def protocol(self) -> dict[str, Any]:
        return {"probe": self.name, "settings": record.dump(self), "batch": 1, "clock": "wall"}


def _named(scope: str, part: str, grid: Sequence[float]) -> str:
    return f"{scope} {part} {len(grid)}"


def ready(arm: Arm, train_seed: int, workdir: Path, running: Running) -> Live:
    """The arm's model, run as it is asked for.

    Raises WrongUse for an arm that makes no videos while one waits, a folder of videos for example."""
    if not isinstance(arm, LiveArm):
        raise WrongUse(
            f"speed is that of a model, and a {type(arm).__name__} is none: name a checkpoint, released:… or random:…"
        )
    return arm.live(train_seed, workdir, running)


def watch(model: Live, prompt: Prompt, seed: int, scope: str, warm: int, repeats: int) -> Iterator[Watched]:
    """`repeats` videos of one prompt, after `warm` that do not count."""
    for _ in range(warm):
        one(model, prompt, seed, scope)
    for _ in range(repeats):
        yield one(model, prompt, seed, scope)


def one(model: Live, prompt: Prompt, seed: int, scope: str) -> Watched:
    """One video in the making."""
    pieces = model.start(prompt, seed, scope)
    ends, frames, began = [], [], time.perf_counter()
    for count in pieces:
        ends.append(time.perf_counter() - began)
        frames.append(count)
    return Watched(tuple(ends), tuple(frames))
