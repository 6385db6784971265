"""How many training seeds and prompts it takes to see an effect, before anything is run.

The test is that of `effects.effect`, whose standard error and degrees of freedom are themselves estimates: with three training
seeds they are so uncertain that formulas with fixed degrees are off. But under the Gaussian model of `components` the mean and
the three mean squares of a layout are independent, normal and scaled χ², whatever its size. So drawing those four numbers is
drawing whole studies, and the power of `crossed` itself is known up to the error of `STUDIES` draws (0.6% at 80%). They are
the same draws for every effect and every design, so that curves are smooth and a table repeats to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np
from scipy import special

from salt_bench.stats.components import Components
from salt_bench.stats.crossed import Fit, stated

STUDIES = 4000
SEEDS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 32)
PROMPTS = (16, 32, 64, 128, 256, 512, 946)
"""Where a need is looked for; the last is how many prompts VBench has."""
POWER = 0.8


@dataclass(frozen=True, order=True)
class Design:
    """How much is run of each arm: training seeds × prompts × sample seeds."""

    seeds: int
    prompts: int
    samples: int = 1

    @property
    def clips(self) -> int:
        return self.seeds * self.prompts * self.samples


@dataclass(frozen=True)
class _Squares:
    """What a design makes of the components: expected mean squares over S·P, and the variance of the mean."""

    seed: float
    prompt: float
    rest: float

    @classmethod
    def of(cls, design: Design, found: Components) -> _Squares:
        known, (s, p, k) = found.known(), (design.seeds, design.prompts, design.samples)
        rest = known.get("seed_prompt", 0.0) + known.get("noise", 0.0) / k
        prompt = known.get("prompt", 0.0) + known.get("sample", 0.0) / k
        seed = known.get("seed", 0.0) + known.get("teacher", 0.0)  # as if every training seed had a teacher of its own
        return cls((rest / p + seed) / s, (rest / s + prompt) / p, rest / (s * p))

    @property
    def error(self) -> float:
        """The standard deviation of the mean: MS_seed + MS_prompt − MS_rest."""
        return sqrt(self.seed + self.prompt - self.rest)


def power(effect: float, design: Design, found: Components) -> float:
    """The probability that a true `effect`, in the unit of the components' roots, is significant at two-sided 5%."""
    fit = _drawn(design, found)
    return float((np.abs(effect + fit.mean) > fit.half()).mean())


def detectable(design: Design, found: Components, wanted: float = POWER) -> float:
    """The smallest true effect that is significant with probability `wanted`; infinite where a design has a single value.

    With one training seed it is that of two checkpoints, not of two recipes: nothing is known of other seeds."""
    if design.seeds == design.prompts == 1:
        return inf
    fit = _drawn(design, found)
    # Left tails hold next to nothing at any power worth asking for, so the effect is a quantile.
    return float(np.quantile(fit.half() - fit.mean, wanted))


def needed(effect: float, found: Components, wanted: float = POWER, prompts: Iterable[int] = PROMPTS) -> list[Design]:
    """For each number of prompts the design with the fewest training seeds of SEEDS that sees `effect`, where one does; more
    than one, unless nothing is known of training seeds, and only where another number of prompts asks for more of them."""
    least = 2 if "seed" in found.known() else 1
    designs: list[Design] = []
    for count in prompts:
        wide = (Design(seeds, count) for seeds in SEEDS if seeds >= least)
        hit = next((design for design in wide if detectable(design, found, wanted) <= abs(effect)), None)
        if hit and not (designs and designs[-1].seeds <= hit.seeds):
            designs.append(hit)
    return designs


def _drawn(design: Design, found: Components) -> Fit:
    """STUDIES fits of a design whose true effect is 0."""
    s, p = design.seeds, design.prompts
    squares = _Squares.of(design, Components(**{**found.known(), **_one_seed(s)}))
    normal, *chi = _standard(s, p)
    by_seed = squares.seed * chi[0] if s > 1 else np.zeros(STUDIES)
    rest = squares.rest * chi[2] if s > 1 and p > 1 else np.zeros(STUDIES)
    by_prompt = np.maximum(squares.prompt * chi[1] - rest, 0.0) if p > 1 else np.zeros(STUDIES)
    return stated(squares.error * normal, by_seed, by_prompt, (s, p))


def _one_seed(seeds: int) -> dict[str, float]:
    """One training seed is asked about itself: its effect is a part of the truth."""
    return {"seed": 0.0, "teacher": 0.0} if seeds == 1 else {}


def _standard(s: int, p: int) -> tuple[np.ndarray, ...]:
    """A standard normal and three χ² over their degrees of freedom, (STUDIES,) each: quantiles at scattered points."""
    points = _uniform()
    degrees = (max(s - 1, 1), max(p - 1, 1), max((s - 1) * (p - 1), 1))
    chi = (special.chdtri(df, u) / df for df, u in zip(degrees, points[1:], strict=True))
    return special.ndtri(points[0]), *chi


def _uniform() -> np.ndarray:
    """(4, STUDIES) points of a Kronecker sequence in the open unit cube, each even by itself and all of them together."""
    roots = np.sqrt([2.0, 3.0, 5.0, 7.0])
    return (0.5 + np.outer(roots, np.arange(STUDIES))) % 1.0


def spread(values: dict[str, float]) -> Components:
    """Components of given standard deviations, by name."""
    if bad := [name for name, value in values.items() if not (isfinite(value) and value >= 0)]:
        raise ValueError(f"a standard deviation is a number and at least 0, got {bad[0]}={values[bad[0]]}")
    return Components(**{name: value**2 for name, value in values.items()})
