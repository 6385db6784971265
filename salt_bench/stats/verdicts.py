"""What may be said of effects: corrected for their number, held against a margin, ranked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from salt_bench.stats.effects import LogRatio, effect, summary, tail
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Effect, Output

_LEVEL = 0.05


def holm(effects: Sequence[Effect]) -> list[float]:
    """The p of each effect, adjusted: in 95% of studies none below 0.05 is false (Holm, Scand. J. Stat. 6, 1979)."""
    return adjusted([effect.p for effect in effects])


def adjusted(ps: Sequence[float]) -> list[float]:
    """The same of bare p."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    found, running = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(ps) - rank) * ps[i]))
        found[i] = running
    return found


@dataclass(frozen=True)
class Verdict:
    """What a margin says of an effect: which bound of the 95% interval was held against which limit, on the effect's scale.

    `p` is one-sided, that of the hypothesis that the true effect lies at or beyond the limit (the larger p of two for
    equivalence); the level is 2.5%.
    """

    verdict: Literal["no worse", "worse", "equivalent", "inconclusive"]
    bound: float
    limit: float
    p: float


def non_inferior(effect: Effect, output: Output) -> Verdict:
    """The verdict "no worse" where the whole 95% interval stays within the margin, "worse" where all of it lies beyond it.

    ValueError where the output has no margin or no direction, or where the effect is not on the margin's scale.
    """
    if output.better not in (-1, 1):
        raise ValueError(f"{effect.judge} {effect.part!r} has better = {output.better}: nothing is worse there; use equivalent")
    down, up = limits(effect, output)
    limit = down if output.better > 0 else up
    worst, kindest = (effect.low, effect.high) if output.better > 0 else (effect.high, effect.low)
    p = tail(output.better * (effect.mean - limit), effect.standard_error, effect.degrees)
    if output.better * (worst - limit) > 0:
        return Verdict("no worse", worst, limit, p)
    return Verdict("worse" if output.better * (kindest - limit) < 0 else "inconclusive", worst, limit, p)


def equivalent(effect: Effect, output: Output) -> Verdict:
    """Two one-sided tests at 2.5% (TOST): "equivalent" where the 95% interval lies inside the margin on both sides."""
    down, up = limits(effect, output)
    below = tail(effect.mean - down, effect.standard_error, effect.degrees)
    above = tail(up - effect.mean, effect.standard_error, effect.degrees)
    bound, limit = (effect.low, down) if below > above else (effect.high, up)
    inside = down < effect.low and effect.high < up
    return Verdict("equivalent" if inside else "inconclusive", bound, limit, max(below, above))


def limits(effect: Effect, output: Output, share: float = 1.0) -> tuple[float, float]:
    """How far down and up `share` of the margin reaches, on the effect's scale."""
    name = f"{effect.judge} {effect.part!r}"
    if output.margin is None:
        raise ValueError(f"{name} has no margin: say in its judge's outputs which loss would matter")
    if output.relative != isinstance(effect, LogRatio):
        kind = "a share: test it on log_ratio" if output.relative else "a difference: test it on effect"
        raise ValueError(f"the margin of {name} is {kind}, or let compare choose")
    margin = share * output.margin
    if not output.relative:
        return -margin, margin
    return math.log1p(-margin) if margin < 1 else -math.inf, math.log1p(margin)


class Ranking(NamedTuple):
    """The best arm, the arms that are not distinguishable from it, and the arms that are worse; each in the order given."""

    best: str
    tied: tuple[str, ...]
    worse: tuple[str, ...]


def best(table: Table | pd.DataFrame, what: Quantity, arms: Sequence[str], output: Output) -> Ranking:
    """Which arm has the best mean, and which arms the paired differences from it cannot tell apart.

    Holm's correction over those differences keeps the choice honest: a winner picked from many looks better than it is.
    """
    if output.better not in (-1, 1):
        raise ValueError(f"{what.judge} {what.part!r} has better = {output.better}: no arm is best there")
    indexed = Table.of(table)
    top = max(arms, key=lambda arm: output.better * summary(indexed, what, arm).mean)
    others = [arm for arm in arms if arm != top]
    adjusted = holm([effect(indexed, what, arm, top) for arm in others])
    worse = tuple(arm for arm, p in zip(others, adjusted, strict=True) if p < _LEVEL)
    return Ranking(top, tuple(arm for arm in others if arm not in worse), worse)
