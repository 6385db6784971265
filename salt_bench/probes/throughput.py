"""How fast a model makes video: one clip at a time, as someone who waits for it sees it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from salt_bench import record
from salt_bench.probes.base import Probe, steppable
from salt_bench.types import Arm, Log, Output, Prompt, Steppable


@dataclass(frozen=True)
class Throughput(Probe):
    """Frames of video per core-second under each of `grids` (named by their step counts), batch 1: "denoise 4" from noise to
    the last latent, "whole 4" with decoding. "first 4" is the time until the first chunk's latents stand (of a model that makes
    all frames at once: until all do). Each of the first `most` test prompts is made `repeats` times after one that warms up;
    its median counts. Of one thread on a quiet processor a core-second is a second; what neighbours take does not count.

    A clock never gives the same bytes twice: these numbers are outside of that promise. They depend on the grid and on the
    cache, not on what the weights have learnt."""

    grids: tuple[tuple[float, ...], ...]
    most: int = 8
    repeats: int = 3
    name: ClassVar[str] = "throughput"

    @property
    def outputs(self) -> Mapping[str, Output]:
        found: dict[str, Output] = {}
        for k in map(len, self.grids):
            found[f"denoise {k}"] = Output("frames/core-s", +1, title=f"frames per core-second, {k} steps")
            found[f"whole {k}"] = Output("frames/core-s", +1, title=f"the same with decoding, {k} steps")
            found[f"first {k}"] = Output("core-s", -1, title=f"core-seconds to the first chunk, {k} steps")
        return found

    def __call__(
        self, arm: Arm, train_seed: int, workdir: Path, prompts: Sequence[Prompt], sample_seed: int, log: Log
    ) -> Iterator[tuple[Prompt, dict[str, float | None]]]:
        samplers = [steppable(arm.at(grid), train_seed, workdir) for grid in self.grids]
        chosen = [p for p in prompts if "validation" not in p.tags][: self.most]
        for sampler in samplers:
            _timed(sampler, chosen[0], sample_seed)
        for done, prompt in enumerate(chosen, start=1):
            values: dict[str, float | None] = {}
            for sampler in samplers:
                runs = zip(*(_timed(sampler, prompt, sample_seed) for _ in range(self.repeats)), strict=True)
                names = (f"{name} {len(sampler.grid)}" for name in ("denoise", "whole", "first"))
                values |= {name: statistics.median(run) for name, run in zip(names, runs, strict=True)}
            log("probe", done / len(chosen))
            yield prompt, values

    def protocol(self) -> dict[str, Any]:
        return {"probe": self.name, "settings": record.dump(self), "batch": 1, "clock": "core"}


def _timed(sampler: Steppable, prompt: Prompt, seed: int) -> tuple[float, float, float]:
    """Frames per core-second without and with decoding, and the core-seconds to the first chunk."""
    began, first, state = time.process_time(), None, None
    for state in sampler.path([prompt], seed):
        if first is None and state.chunk > 0:
            first = time.process_time()
    denoised = time.process_time()
    assert state is not None
    frames = sampler.decode(state).shape[1]
    whole = time.process_time()
    return frames / (denoised - began), frames / (whole - began), (first or denoised) - began
