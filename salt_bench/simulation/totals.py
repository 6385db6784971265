"""How often the interval of VBench's Total holds the truth: sixteen dimensions of one model, and the difference of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from salt_bench.composites.intervals import influence, spread, suites
from salt_bench.composites.precision import DESIGNS, SPREAD, Design
from salt_bench.composites.rows import Sums
from salt_bench.composites.vbench_total import PROMPTS, SCHEME
from salt_bench.simulation.coverage import Intervals
from salt_bench.simulation.judges import KINDS, Layout
from salt_bench.simulation.table import Coverage
from salt_bench.stats.crossed import CONFIDENCE

TOTAL, TOTALS = "Total of one model", "difference of two Totals, same prompts"
FEW = Design("every eighth prompt once", 8, 1)
REPETITIONS = 2000
SHARE = 0.5
"""How much of a video's variance is its prompt's."""
MODEL_SHARE = 0.5
"""How much of that is the prompt's in every model."""
_AT_ONCE = 100
_RIGHT = 0.9


def measure(repetitions: int = REPETITIONS) -> Iterator[Coverage]:
    """The rows of three designs, full, lite and few, and every kind. `prompts` counts all that the design asks."""
    for i, kind in enumerate(KINDS):
        for j, design in enumerate((*DESIGNS[:2], FEW)):
            asked = _Asked.of(design)
            layout = Layout(1, asked.weight.shape[1], 0.0)
            rng = np.random.default_rng([i, j])
            found = [_estimates(kind, design, asked, rng) for _ in range(max(repetitions // _AT_ONCE, 1))]
            for name in (TOTAL, TOTALS):
                parts = (np.concatenate([getattr(one[name], part) for one in found]) for part in ("estimate", "low", "high"))
                yield Intervals(*parts).row(name, kind, layout, 0.0)


@dataclass(frozen=True)
class _Asked:
    """Which dimension asks how many videos of which prompt, (D, P). Of the dimensions on one file of prompts all ask the same,
    every other dimension has prompts of its own: with VBench, more are shared, which only makes the intervals surer."""

    weight: np.ndarray
    slopes: np.ndarray

    @classmethod
    def of(cls, design: Design) -> _Asked:
        slopes = SCHEME.slopes("total")
        shared = ("subject_consistency", "motion_smoothness", "dynamic_degree")
        groups = [shared, *((name,) for name in slopes if name not in shared)]
        blocks = [[name in group for name in slopes] for group in groups for _ in range(design.prompts(group[0]))]
        return cls(design.samples * np.array(blocks, dtype=float).T, np.array(list(slopes.values())))


def _estimates(kind: str, design: Design, asked: _Asked, rng: np.random.Generator) -> Mapping[str, Intervals]:
    """Of _AT_ONCE repetitions; every dimension's true mean is 0 in both models, so that Total's is its intercept, left out."""
    shape = (_AT_ONCE, *asked.weight.shape)
    common = rng.normal(size=shape) if kind != "heavy" else rng.standard_t(3, size=shape) / np.sqrt(3)
    one, other = (_sums(kind, design, asked, common, rng) for _ in range(2))
    adds = [np.einsum("d,rdp->rp", asked.slopes, influence(sums)) for sums in (one, other)]
    totals = [sums.mean() @ asked.slopes for sums in (one, other)]
    suite = suites(asked.weight > 0)
    return {
        TOTAL: _interval(totals[0], adds[0], suite),
        TOTALS: _interval(totals[0] - totals[1], adds[0] - adds[1], suite),
    }


def _sums(kind: str, design: Design, asked: _Asked, common: np.ndarray, rng: np.random.Generator) -> Sums:
    spreads = np.array([SPREAD[name] for name in PROMPTS])[:, None]
    prompt = np.sqrt(MODEL_SHARE) * common + np.sqrt(1 - MODEL_SHARE) * _standard(kind, common.shape, rng)
    videos = sum(_shown(kind, prompt, common.shape, rng) for _ in range(design.samples))
    names = tuple(SCHEME.slopes("total"))
    return Sums(names, tuple(map(str, range(common.shape[-1]))), asked.weight, (asked.weight > 0) * spreads * videos)


def _standard(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_t(3, size=shape) / np.sqrt(3) if kind == "heavy" else rng.normal(size=shape)


def _shown(kind: str, prompt: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """One video's value of every prompt: mean 0 and standard deviation 1."""
    behind = np.sqrt(SHARE) * prompt + np.sqrt(1 - SHARE) * _standard(kind, shape, rng)
    if kind == "skewed":
        return (np.exp(behind) - np.exp(0.5)) / np.sqrt(np.exp(2) - np.exp(1))
    if kind == "binary":
        return ((behind < special.ndtri(_RIGHT)) - _RIGHT) / np.sqrt(_RIGHT * (1 - _RIGHT))
    return behind


def _interval(value: np.ndarray, adds: np.ndarray, suite: np.ndarray) -> Intervals:
    variance, degrees = spread(adds, suite)
    half = special.stdtrit(degrees, CONFIDENCE) * np.sqrt(variance)
    return Intervals(value, value - half, value + half)
