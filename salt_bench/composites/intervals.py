"""How sure a composite is when other prompts might have been asked: prompts are the samples, all of a prompt's videos one.

A composite is affine in ratios Σ w·x / Σ w, one per dimension. To first order each prompt adds its own influence to it, summed
over the dimensions that share the prompt, so that their correlation is counted and not assumed. Prompts of different suites are
different populations: their variances add, each with n − 1 degrees of freedom (Satterthwaite, Biometrics Bulletin 2, 1946).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from salt_bench.composites.rows import Sums
from salt_bench.stats import effects
from salt_bench.stats.crossed import CONFIDENCE


@dataclass(frozen=True)
class Estimate:
    """A score or a difference of scores, as a share. A single prompt in some suite leaves the error infinite: not known."""

    value: float
    standard_error: float
    degrees: float
    prompts: int

    @property
    def half(self) -> float:
        """Half the width of the 95% interval."""
        return float(special.stdtrit(self.degrees, CONFIDENCE) * self.standard_error)

    @property
    def interval(self) -> tuple[float, float] | None:
        return (self.value - self.half, self.value + self.half) if np.isfinite(self.standard_error) else None

    @property
    def detectable(self) -> float | None:
        """The smallest true distance from a fixed number that is found with 80% power at two-sided 5%."""
        return self._detectable(1.0)

    @property
    def detectable_unpaired(self) -> float | None:
        """The same of the difference to another model, as sure as this one and asked for other prompts."""
        return self._detectable(sqrt(2.0))

    def _detectable(self, factor: float) -> float | None:
        if not np.isfinite(self.standard_error):
            return None
        return effects.detectable(factor * self.standard_error, factor**2 * self.degrees)


def influence(sums: Sums) -> np.ndarray:
    """(…, D, P): what each prompt adds to each dimension's score, to first order; its sum over prompts is 0."""
    whole = sums.weight.sum(-1, keepdims=True)
    mean = sums.total.sum(-1, keepdims=True) / np.where(whole > 0, whole, 1.0)
    return (sums.total - mean * sums.weight) / np.where(whole > 0, whole, 1.0)


def suites(asked: np.ndarray) -> np.ndarray:
    """(P,) ints: the suite of each prompt, from `asked` (D, P), whether a dimension asks for it. Dimensions that share a prompt
    share a suite; −1 where no dimension asks."""
    label = np.full(asked.shape[1], -1)
    for row in asked:
        met = set(label[row].tolist()) - {-1}
        label[row | np.isin(label, list(met))] = min(met, default=int(label.max()) + 1)
    return label


def spread(adds: np.ndarray, suite: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The variance of the sum of the influences `adds` (…, P), and its degrees of freedom, both (…)."""
    variance, uncertain = np.zeros(adds.shape[:-1]), np.zeros(adds.shape[:-1])
    for one in np.unique(suite[suite >= 0]):
        mine = adds[..., suite == one]
        n = mine.shape[-1]
        part = (mine**2).sum(-1) * n / (n - 1) if n > 1 else np.full(variance.shape, np.inf)
        variance, uncertain = variance + part, uncertain + part**2 / max(n - 1, 1)
    sure = np.isfinite(variance) & (variance > 0)
    degrees = np.divide(variance**2, uncertain, out=np.ones_like(variance), where=sure)
    return variance, np.maximum(degrees, 1.0)


def estimate(value: float, slopes: Mapping[str, float], sums: Sums) -> Estimate:
    """`value` with the error of Σ slope × dimension's score; the dimensions are those of `slopes`, all of them in `sums`."""
    return _stated(value, *_combined(slopes, sums))


def difference(value: float, slopes: Mapping[str, float], one: Sums, other: Sums) -> Estimate:
    """`value`, of `one` minus `other`, with its error: prompts that both were asked are pairs, others stand alone."""
    first, asked_first = _combined(slopes, one)
    second, asked_second = _combined(slopes, other)
    prompts = sorted({*one.prompts, *other.prompts})
    adds = _at(prompts, one.prompts, first) - _at(prompts, other.prompts, second)
    asked = _at(prompts, one.prompts, asked_first) + _at(prompts, other.prompts, asked_second) > 0
    return _stated(value, adds, asked)


def _combined(slopes: Mapping[str, float], sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    """What each prompt adds to the composite (P,), and which dimension asked for it (D, P)."""
    rows = [sums.dimensions.index(name) for name in slopes]
    return np.array(list(slopes.values())) @ influence(sums)[rows], sums.weight[rows] > 0


def _at(prompts: list[str], known: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """`values` (…, P of `known`) in the order of `prompts`, 0 where there is none."""
    place = {prompt: i for i, prompt in enumerate(prompts)}
    spaced = np.zeros((*values.shape[:-1], len(prompts)))
    spaced[..., [place[prompt] for prompt in known]] = values
    return spaced


def _stated(value: float, adds: np.ndarray, asked: np.ndarray) -> Estimate:
    variance, degrees = spread(adds, suites(asked))
    return Estimate(value, float(np.sqrt(variance)), float(degrees), int(asked.any(0).sum()))
