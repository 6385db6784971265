"""How far one long step lands from two short ones, as a share of the way that it goes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from salt_bench import record
from salt_bench.probes.base import Probe, steppable
from salt_bench.types import Arm, Log, Output, Prompt, State, Steppable

BATCH = 64


@dataclass(frozen=True)
class SemigroupDefect(Probe):
    """D_i = ‖Ψ^{s→e}(x_s) - Ψ^{m→e}(Ψ^{s→m}(x_s))‖₂ / (‖Ψ^{s→e}(x_s) - x_s‖₂ + 1e-8) on every interval (s, e) of the test-time
    path, with the point m of the finer grid inside it (Salt, "Displacement-normalised local semigroup defect"; the norm over
    all latent dimensions in float32 is ours). States follow the sampler of the model under test; a causal model steps chunk by
    chunk, each against its frozen cache, and both norms go over all chunks.

    `path` are the noise levels of the test-time grid, `fine` those of the grid that is twice as fine. Parts: "defect" is the
    mean of D_i over the intervals, "defect_sq" that of D_i², and per interval its ratio, numerator and denominator:
    "750-500/ratio", "750-500/num", "750-500/den", named by the raw timesteps of an even grid."""

    path: tuple[float, ...]
    fine: tuple[float, ...]
    name: ClassVar[str] = "semigroup_defect"

    def __post_init__(self) -> None:
        if self.fine[::2] != self.path or len(self.fine) != 2 * len(self.path):
            raise ValueError(
                f"the fine grid holds the path's points and one inside each interval, got {self.fine} for {self.path}"
            )

    @property
    def intervals(self) -> tuple[tuple[float, float, float], ...]:
        """(s, m, e) of every interval; 0 ends the last one."""
        ends = pairwise((*self.path, 0.0))
        return tuple((s, m, e) for (s, e), m in zip(ends, self.fine[1::2], strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        raw = [f"{1000 * (len(self.path) - i) / len(self.path):g}" for i in range(len(self.path) + 1)]
        return tuple(f"{s}-{e}" for s, e in pairwise(raw))

    @property
    def outputs(self) -> Mapping[str, Output]:
        outputs = {
            "defect": Output("share of the step", -1, title="semigroup defect"),
            "defect_sq": Output("squared share", -1, title="squared semigroup defect"),
        }
        for name in self.names:
            outputs |= {
                f"{name}/ratio": Output("share of the step", -1, title=f"defect of {name}"),
                f"{name}/num": Output("latent norm", -1, title=f"miss of {name}"),
                f"{name}/den": Output("latent norm", 0, title=f"step of {name}"),
            }
        return outputs

    def __call__(
        self, arm: Arm, train_seed: int, workdir: Path, prompts: Sequence[Prompt], sample_seed: int, log: Log
    ) -> Iterator[tuple[Prompt, dict[str, float | None]]]:
        sampler = steppable(arm.at(self.path), train_seed, workdir)
        for first in range(0, len(prompts), BATCH):
            batch = prompts[first : first + BATCH]
            parts = self._measured(sampler, sampler.path(batch, sample_seed))
            log("probe", min(1.0, (first + BATCH) / len(prompts)))
            yield from ((prompt, self._values([part[b] for part in parts])) for b, prompt in enumerate(batch))

    def _measured(self, sampler: Steppable, states: Iterator[State]) -> list[list[tuple[float, float]]]:
        """Per interval, numerator and denominator of every video: norms over all of its chunks."""
        at: dict[float, list[list[tuple[float, float]]]] = {start: [] for start, _, _ in self.intervals}
        whole = {start: (start, middle, end) for start, middle, end in self.intervals}
        for state in states:
            if state.sigma in at:
                at[state.sigma].append(_interval(sampler, state, *whole[state.sigma]))
        return [[_joined(chunks) for chunks in zip(*found, strict=True)] for found in at.values()]

    def _values(self, intervals: Sequence[tuple[float, float]]) -> dict[str, float | None]:
        ratios = [miss / (step + 1e-8) for miss, step in intervals]
        values: dict[str, float | None] = {
            "defect": sum(ratios) / len(ratios),
            "defect_sq": sum(r * r for r in ratios) / len(ratios),
        }
        for name, ratio, (miss, step) in zip(self.names, ratios, intervals, strict=True):
            values |= {f"{name}/ratio": ratio, f"{name}/num": miss, f"{name}/den": step}
        return values

    def protocol(self) -> dict[str, object]:
        return {"probe": self.name, "settings": record.dump(self), "norm": "L2 over the latent, float32"}


def _joined(chunks: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The norms over all chunks of a video from those over each."""
    if len(chunks) == 1:
        return chunks[0]
    misses, steps = zip(*chunks, strict=True)
    return math.hypot(*misses), math.hypot(*steps)


def _interval(sampler: Steppable, state: State, start: float, middle: float, end: float) -> list[tuple[float, float]]:
    """Numerator and denominator for every video of the batch."""
    direct = sampler.move(state, start, end)
    composed = sampler.move(sampler.move(state, start, middle), middle, end)
    miss = (direct.x - composed.x).float().flatten(1).norm(dim=1)
    step = (direct.x - state.x).float().flatten(1).norm(dim=1)
    return list(zip(miss.tolist(), step.tolist(), strict=True))
