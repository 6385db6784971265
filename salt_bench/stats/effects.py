"""Paired effects with honest intervals: how far apart two arms are, and how sure that is.

Clips are paired by training seed, prompt and sample seed, which are averaged inside a pair; `crossed` says how sure the mean of
the pairs is. `weight` belongs to the composites and plays no part here.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy import special

from salt_bench.stats.crossed import CONFIDENCE, Fit, completed, crossed
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Effect, Output

_POWER = 0.8

E = TypeVar("E", bound=Effect)


class Summary(NamedTuple):
    """An arm's own mean in the judge's unit, with its 95% interval [low, high] and what it rests on."""

    mean: float
    low: float
    high: float
    train_seeds: int
    prompts: int


class LogRatio(Effect):
    """An Effect on the scale log(arm's mean / baseline's mean): 0.0953 is 10% more. Relative margins are tested on it."""


def effect(table: Table | pd.DataFrame, what: Quantity, arm: str, baseline: str) -> Effect:
    """Arm minus baseline, paired by (train_seed, prompt, sample_seed).

    A pair in which either could not be judged is dropped; a (seed, prompt) with no pair left is filled as `completed` says. An
    anchor (training seed 0 alone) is paired with every training seed of the other. ValueError where nothing can be paired.
    """
    x, y = pairs(Table.of(table), what, arm, baseline)
    return _stated(Effect, what, (arm, baseline), crossed(*completed(x - y)), *x.shape)


def log_ratio(table: Table | pd.DataFrame, what: Quantity, arm: str, baseline: str) -> LogRatio:
    """log(arm's mean / baseline's mean), paired as `effect` is. ValueError where a mean is not positive.

    Over prompts by the delta method: x / mean(x) − y / mean(y) is what each pair adds to it. A set judge has no prompts; there
    it is the mean of the seeds' log ratios.
    """
    x, y = pairs(Table.of(table), what, arm, baseline)
    if not _positive(x, y):
        where = f"{what.judge} {what.part!r} of {arm!r} or {baseline!r}"
        raise ValueError(f"a ratio needs positive means; {where} is not: use the difference")
    return _stated(LogRatio, what, (arm, baseline), ratio_fit(x, y), *x.shape)


def _positive(x: np.ndarray, y: np.ndarray) -> bool:
    means = (x, y) if x.shape[1] == 1 else tuple(completed(side)[0].mean() for side in (x, y))
    return all(np.nanmin(mean) > 0 for mean in means)


def ratio_fit(x: np.ndarray, y: np.ndarray) -> Fit:
    """The fit of `log_ratio` to (…, S, P) values; NaN, on both sides alike, in a plain (S, P) only."""
    if x.shape[-1] == 1:
        return fitted(np.log(x / y))
    means = [(completed(side)[0] if side.ndim == 2 else side).mean((-2, -1)) for side in (x, y)]
    shares = [side / mean[..., None, None] for side, mean in zip((x, y), means, strict=True)]
    return fitted(shares[0] - shares[1])._replace(mean=np.log(means[0] / means[1]))


def fitted(d: np.ndarray) -> Fit:
    """`crossed` of (…, S, P), a plain (S, P) completed before."""
    return crossed(*completed(d)) if d.ndim == 2 else crossed(d)


def compare(table: Table | pd.DataFrame, what: Quantity, arm: str, baseline: str, output: Output) -> Effect:
    """The effect on the scale of the output's margin: a log ratio where that is a share of the baseline, else a difference."""
    return (log_ratio if output.relative else effect)(table, what, arm, baseline)


def summary(table: Table | pd.DataFrame, what: Quantity, arm: str) -> Summary:
    """The arm's own mean, under the same crossed model as an effect. ValueError where nothing was judged."""
    values, _ = pairs(Table.of(table), what, arm, arm)
    fit = crossed(*completed(values))
    mean, half = float(fit.mean), float(fit.half())
    return Summary(mean, mean - half, mean + half, *values.shape)


def detectable(standard_error: float, degrees: float, power: float = _POWER) -> float:
    """The smallest true difference found with that power at two-sided 5%, in the unit of the error: noncentral t, solved.

    The far tail is left out: at this power it holds less than a millionth.
    """
    return float(standard_error * special.nctdtrinc(degrees, 1 - power, special.stdtrit(degrees, CONFIDENCE)))


def _stated(kind: type[E], what: Quantity, arms: tuple[str, str], fit: Fit, seeds: int, prompts: int) -> E:
    mean, error, degrees, half = (float(x) for x in (*fit, fit.half()))
    p = min(1.0, 2 * tail(abs(mean), error, degrees))
    names = (*arms, what.setting, what.judge, what.part)
    return kind(*names, mean, mean - half, mean + half, p, error, degrees, seeds, prompts, detectable(error, degrees))


def tail(distance: float, error: float, degrees: float) -> float:
    """The probability that Student's t exceeds distance / error; an error of 0 leaves no doubt, save about 0."""
    if error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return float(special.stdtr(degrees, -distance / error))


# ---------------------------------------------------------------------------------------------------------------- pairing


def pairs(table: Table, what: Quantity, arm: str, baseline: str) -> tuple[np.ndarray, np.ndarray]:
    """Two float (S, P) arrays, arm and baseline, each the mean over the sample seeds that both have; NaN where none is."""
    x, y = cubes(table, what, arm, baseline)
    both = ~(np.isnan(x) | np.isnan(y))
    cells = both.any(-1)
    rows, columns = cells.any(1), cells.any(0)
    if not cells.any():
        where = f"{what.judge} {what.part!r} at {what.setting!r}"
        raise ValueError(f"{arm!r} and {baseline!r} share no judged clip for {where}: nothing to pair")
    return _cells(x, both)[np.ix_(rows, columns)], _cells(y, both)[np.ix_(rows, columns)]


def cubes(table: Table, what: Quantity, arm: str, baseline: str) -> tuple[np.ndarray, np.ndarray]:
    """Two float (S, P, K) arrays over the training seeds, prompts and sample seeds that both arms have; NaN: not judged."""
    a, b = table.cube(arm, what), table.cube(baseline, what)
    seed = _matched(a.seeds, b.seeds, arm in table.anchors, baseline in table.anchors)
    axes = [
        np.intersect1d(x, y, assume_unique=True, return_indices=True)[1:]
        for x, y in ((a.prompts, b.prompts), (a.samples, b.samples))
    ]
    x = a.values[np.ix_(seed[0], axes[0][0], axes[1][0])]
    y = b.values[np.ix_(seed[1], axes[0][1], axes[1][1])]
    return x, y


def _matched(a: np.ndarray, b: np.ndarray, a_anchor: bool, b_anchor: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which training seeds make pairs, by place: equal ones, and an anchor's only one with every seed of the other."""
    if a_anchor and not b_anchor:
        return np.zeros(len(b), dtype=int), np.arange(len(b))
    if b_anchor and not a_anchor:
        return np.arange(len(a)), np.zeros(len(a), dtype=int)
    _, first, second = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    return first, second


def _cells(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The mean over the valid sample seeds, (S, P, K) to (S, P); NaN where there is none."""
    count = valid.sum(-1)
    return np.where(count > 0, np.where(valid, values, 0.0).sum(-1) / np.maximum(count, 1), np.nan)
