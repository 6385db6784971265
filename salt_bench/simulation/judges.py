"""Judges whose truth is known: two arms' values over training seeds and prompts, of four kinds.

What lies behind a value is a sum of a training seed's effect, a prompt's (which the arms share), a prompt's in one arm alone
and a residual. A judge shows it as it is (normal, or heavy-tailed: every part Student's t with 3 degrees of freedom), as its
exponential (skewed: log-normal, skewness 6), or as right or wrong (binary: right in 80% of the baseline's clips).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

KINDS = ("normal", "skewed", "binary", "heavy")
SHARED, OWN, REST = 1.0, 0.15, 0.5
"""Variances of one arm; those of the difference are twice OWN, twice REST, and twice what one arm's training seed adds."""
GAIN = 0.3
"""By how much the arm's mean lies above the baseline's, behind the values."""
LEVEL = 10.0
"""The mean of normal and heavy-tailed values: a ratio needs one that is not 0."""
RIGHT = 0.8


@dataclass(frozen=True)
class Layout:
    """Training seeds × prompts, and the variance of the seed's effect on the difference, whose residual has 1."""

    seeds: int
    prompts: int
    variance: float

    @property
    def spread(self) -> float:
        """The standard deviation of one arm, behind the values."""
        return float(np.sqrt(SHARED + OWN + REST + self.variance / 2))


@dataclass(frozen=True)
class Drawn:
    """Values of the arm and of its baseline, float (repetitions, S, P) each."""

    arm: np.ndarray
    baseline: np.ndarray


@dataclass(frozen=True)
class Truth:
    """What the intervals are to hold."""

    mean: float
    difference: float
    log_ratio: float
    improvement: float


def draw(kind: str, layout: Layout, repetitions: int, rng: np.random.Generator) -> Drawn:
    shape = (repetitions, layout.seeds, layout.prompts)
    noise = _noise(kind, rng)
    shared = np.sqrt(SHARED) * noise(repetitions, 1, layout.prompts)
    arm, baseline = (shared + _own(noise, shape, layout.variance) for _ in range(2))
    return Drawn(_shown(kind, GAIN + arm, layout), _shown(kind, baseline, layout))


def _noise(kind: str, rng: np.random.Generator) -> Callable[..., np.ndarray]:
    if kind != "heavy":
        return lambda *shape: rng.normal(size=shape)
    return lambda *shape: rng.standard_t(3, size=shape) / np.sqrt(3)


def _own(noise: Callable[..., np.ndarray], shape: tuple[int, int, int], variance: float) -> np.ndarray:
    repetitions, seeds, prompts = shape
    seed = np.sqrt(variance / 2) * noise(repetitions, seeds, 1)
    return seed + np.sqrt(OWN) * noise(repetitions, 1, prompts) + np.sqrt(REST) * noise(*shape)


def _shown(kind: str, behind: np.ndarray, layout: Layout) -> np.ndarray:
    if kind == "skewed":
        return np.exp(behind / layout.spread)
    if kind == "binary":
        return (behind > -special.ndtri(RIGHT) * layout.spread).astype(float)
    return LEVEL + behind


def truth(kind: str, layout: Layout) -> Truth:
    arm, baseline = (_mean(kind, gain, layout) for gain in (GAIN, 0.0))
    return Truth(baseline, arm - baseline, float(np.log(arm / baseline)), _improvement(kind, layout, arm - baseline))


def _mean(kind: str, gain: float, layout: Layout) -> float:
    if kind == "skewed":
        return float(np.exp(gain / layout.spread + 0.5))
    return float(special.ndtr(special.ndtri(RIGHT) + gain / layout.spread)) if kind == "binary" else LEVEL + gain


def _improvement(kind: str, layout: Layout, difference: float) -> float:
    """The exponential keeps the order; of right and wrong, ties count half. Of sums of t nothing is known in closed form."""
    if kind == "binary":
        return 0.5 + difference / 2
    if kind != "heavy":
        return float(special.ndtr(GAIN / np.sqrt(2 * OWN + 2 * REST + layout.variance)))
    one = (2_000_000, 1, 1)
    noise = _noise(kind, np.random.default_rng(0))
    return float((GAIN + _own(noise, one, layout.variance) - _own(noise, one, layout.variance) > 0).mean())
