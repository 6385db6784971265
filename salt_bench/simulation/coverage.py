"""How often each interval of the suite holds the truth, and how wide it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from salt_bench.simulation.judges import KINDS, Drawn, Layout, Truth, draw, truth
from salt_bench.simulation.table import Coverage
from salt_bench.stats.crossed import CONFIDENCE, Fit, crossed
from salt_bench.stats.effects import ratio_fit
from salt_bench.stats.improvement import improvement, wins

DESIGNS = ((1, 16), (1, 64), (1, 256), (3, 16), (3, 64), (3, 256), (5, 64), (10, 64))
VARIANCES = (0.0, 0.1, 1.0)
"""Of training seeds. One training seed is asked about its own checkpoint, where they are no part of the error."""
REPETITIONS = 4000
MEAN, DIFFERENCE, RATIO, BETTER = "mean of an arm", "paired difference", "log ratio", "probability of improvement"
PROMPTS_ONLY = "paired difference, prompts only"
INTERVALS = (DIFFERENCE, MEAN, RATIO, BETTER, PROMPTS_ONLY)


@dataclass(frozen=True)
class Intervals:
    """Estimates and their limits, (repetitions,) each."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, fit: Fit) -> Intervals:
        return cls(fit.mean, fit.mean - fit.half(), fit.mean + fit.half())

    def row(self, name: str, kind: str, layout: Layout, true: float) -> Coverage:
        held = (self.low <= true) & (true <= self.high)
        ideal = 2 * special.ndtri(CONFIDENCE) * self.estimate.std()
        width = float((self.high - self.low).mean() / ideal)
        shape = (layout.seeds, layout.prompts, layout.variance)
        return Coverage(name, kind, *shape, float(held.mean()), float((true > self.high).mean()), width, len(held))


def measure(repetitions: int = REPETITIONS) -> Iterator[Coverage]:
    """The rows of every design, kind and interval, with draws of their own."""
    for i, kind in enumerate(KINDS):
        for seeds, prompts in DESIGNS:
            for variance in VARIANCES if seeds > 1 else (0.0,):
                layout = Layout(seeds, prompts, variance)
                rng = np.random.default_rng([i, seeds, prompts, round(10 * variance)])
                yield from _rows(kind, layout, draw(kind, layout, repetitions, rng), truth(kind, layout))


def _rows(kind: str, layout: Layout, drawn: Drawn, true: Truth) -> Iterator[Coverage]:
    d = drawn.arm - drawn.baseline
    yield Intervals.of(crossed(d)).row(DIFFERENCE, kind, layout, true.difference)
    yield Intervals.of(crossed(drawn.baseline)).row(MEAN, kind, layout, true.mean)
    yield Intervals.of(ratio_fit(drawn.arm, drawn.baseline)).row(RATIO, kind, layout, true.log_ratio)
    yield Intervals(*improvement(wins(drawn.arm, drawn.baseline, 1))).row(BETTER, kind, layout, true.improvement)
    if layout.seeds > 1:
        yield Intervals.of(crossed(d.mean(1, keepdims=True))).row(PROMPTS_ONLY, kind, layout, true.difference)
