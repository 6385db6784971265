"""Paired effects with honest intervals: how far apart two arms are, how sure that is, and what may be claimed from it.

A difference between two arms varies with the training seed and with the prompt, and both are samples: of other runs of the
same recipe, and of other prompts. So the differences d[seed, prompt] are a crossed random-effects layout. With the mean
squares of a two-way analysis of variance over S training seeds and P prompts,

    standard error² = MS_seed / SP + max(MS_prompt − MS_residual, 0) / SP,

its degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946) over S − 1 and P − 1, and the interval is never
narrower than Student's t on the S seed means. `tests/proofs/test_coverage.py` shows what this covers, beside an interval
over prompts alone. Sample seeds are averaged inside a pair; `weight` belongs to the composites and plays no part here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from scipy import special

from salt_bench.types import Claim, Effect, Output

Outputs = Mapping[str, Mapping[str, Output]]
"""judge → part → what that number means."""

VALIDATION = "@validation"
"""What a set judge appends to a part that it computed over the validation prompts."""

_KEY = ("arm", "setting", "judge", "part")
_COLUMNS = (*_KEY, "train_seed", "prompt", "sample_seed", "value")
_CONFIDENCE, _POWER, _LEVEL = 0.975, 0.8, 0.05

E = TypeVar("E", bound=Effect)


# ---------------------------------------------------------------------------------------------------- the table, indexed


@dataclass(frozen=True, eq=False)
class Cube:
    """The values of one (arm, setting, judge, part): float (S, P, K) over sorted training seeds, prompts and sample seeds."""

    seeds: np.ndarray
    prompts: np.ndarray
    samples: np.ndarray
    values: np.ndarray

    def only(self, prompts: np.ndarray) -> Cube:
        keep = np.isin(self.prompts, prompts)
        return Cube(self.seeds, self.prompts[keep], self.samples, self.values[:, keep])


class Table:
    """The long table of scores, indexed once, so that an effect costs well under a millisecond.

    `frame` has the columns arm, setting, train_seed, prompt ("" for set judges), sample_seed, judge, part and value (NaN for
    what could not be judged). Every function here takes a Table or such a frame; a frame is indexed anew at each call. An arm
    with training seed 0 alone is an anchor.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        if absent := [name for name in _COLUMNS if name not in frame.columns]:
            raise ValueError(f"a table of scores has the columns {', '.join(_COLUMNS)}; this one lacks {', '.join(absent)}")
        # Sorted, so that sums run in one order, and a page keeps its bytes, however the rows are ordered.
        codes, names = pd.factorize(frame["prompt"].fillna("").astype(str), sort=True)
        self.prompts: tuple[str, ...] = tuple(name for name in names if name)
        self._prompt, self._code = codes, {name: code for code, name in enumerate(names)}
        self._seed, self._sample = (frame[name].to_numpy(dtype=np.int64) for name in ("train_seed", "sample_seed"))
        self._value = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
        self._rows = frame.groupby(list(_KEY), sort=False, observed=True).indices
        self._cubes: dict[tuple[str, str, str, str], Cube] = {}
        self._known = {name: {key[i] for key in self._rows} for i, name in enumerate(_KEY)}
        arms = frame.groupby("arm")
        alone = arms["train_seed"].max() == 0
        self.anchors: frozenset[str] = frozenset(alone.index[alone])
        self._own: dict[str, str] = arms["setting"].first()[alone & (arms["setting"].nunique() == 1)].to_dict()

    @classmethod
    def of(cls, table: Table | pd.DataFrame) -> Table:
        return table if isinstance(table, Table) else cls(table)

    def has(self, arm: str, setting: str, judge: str, part: str) -> bool:
        """Whether there are rows, judged or not, for this; an anchor answers for its own setting."""
        return (arm, self._setting(arm, setting), judge, part) in self._rows

    def cube(self, arm: str, setting: str, judge: str, part: str) -> Cube:
        """The values as a cube; an anchor gives those at its own setting. ValueError where there are none."""
        key = (arm, self._setting(arm, setting), judge, part)
        if key not in self._rows:
            raise ValueError(self._absent(arm, setting, judge, part))
        if key not in self._cubes:
            self._cubes[key] = self._pivot(key)
        return self._cubes[key]

    def is_set(self, arm: str, setting: str, judge: str, part: str) -> bool:
        """Whether one value stands for a whole set of clips, so that the pairs are per training seed only."""
        return self.cube(arm, setting, judge, part).prompts.tolist() == [self._code.get("")]

    def chosen(self, cube: Cube, prompts: Collection[str] | None) -> Cube:
        """`cube` at these prompts alone; a set judge's part already says over which prompts it is."""
        if prompts is None or cube.prompts.tolist() == [self._code.get("")]:
            return cube
        return cube.only(np.array([self._code[name] for name in prompts if name in self._code], dtype=np.int64))

    def _setting(self, arm: str, setting: str) -> str:
        """Where to look for `arm`: an anchor is measured at its own setting only, which answers for every other."""
        return self._own.get(arm, setting) if setting in self._known["setting"] else setting

    def _pivot(self, key: tuple[str, str, str, str]) -> Cube:
        rows = self._rows[key]
        axes, places = zip(
            *(np.unique(column[rows], return_inverse=True) for column in (self._seed, self._prompt, self._sample)), strict=True
        )
        values = np.full([len(axis) for axis in axes], np.nan)
        flat = np.ravel_multi_index(places, values.shape)
        if np.unique(flat).size < flat.size:
            raise ValueError(
                f"{key} has two values for one (train_seed, prompt, sample_seed); merge the results without duplicates"
            )
        values.flat[flat] = self._value[rows]
        return Cube(axes[0], axes[1], axes[2], values)

    def _absent(self, *key: str) -> str:
        for name, value in zip(_KEY, key, strict=True):
            if value not in self._known[name]:
                return f"no {name} {value!r} in this table; it has {', '.join(sorted(map(repr, self._known[name])))}"
        return f"{key[2]} {key[3]!r} was not measured on arm {key[0]!r} at setting {key[1]!r}"


def _pairs(
    table: Table, arm: str, baseline: str, setting: str, judge: str, part: str, prompts: Collection[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Two float (S, P) arrays, arm and baseline, each the mean over the sample seeds that both have; NaN where none is."""
    a, b = (table.chosen(table.cube(name, setting, judge, part), prompts) for name in (arm, baseline))
    seed = _matched(a.seeds, b.seeds, arm in table.anchors, baseline in table.anchors)
    axes = [
        np.intersect1d(x, y, assume_unique=True, return_indices=True)[1:]
        for x, y in ((a.prompts, b.prompts), (a.samples, b.samples))
    ]
    x = a.values[np.ix_(seed[0], axes[0][0], axes[1][0])]
    y = b.values[np.ix_(seed[1], axes[0][1], axes[1][1])]
    both = ~(np.isnan(x) | np.isnan(y))
    cells = both.any(-1)
    rows, columns = cells.any(1), cells.any(0)
    if not cells.any():
        raise ValueError(f"{arm!r} and {baseline!r} share no judged clip for {judge} {part!r} at {setting!r}: nothing to pair")
    return _cells(x, both)[np.ix_(rows, columns)], _cells(y, both)[np.ix_(rows, columns)]


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


# ------------------------------------------------------------------------------------------------------ the crossed model


class Fit(NamedTuple):
    """A mean, its standard error and the degrees of freedom of that; floats, or arrays (…) over repetitions."""

    mean: np.ndarray
    standard_error: np.ndarray
    degrees: np.ndarray

    def half(self) -> np.ndarray:
        """Half the width of the 95% interval."""
        return special.stdtrit(self.degrees, _CONFIDENCE) * self.standard_error


def crossed(d: np.ndarray, lost: int = 0) -> Fit:
    """The mean of `d` (…, S, P), complete, for random training seeds and random prompts; `lost` residual degrees are missing.

    One seed gives Student's t on the prompts, one prompt gives it on the seeds, and a single number says nothing: its
    standard error is infinite.
    """
    s, p = d.shape[-2:]
    mean, seeds, prompts = d.mean((-2, -1)), d.mean(-1), d.mean(-2)
    if s == p == 1:
        return Fit(mean, np.full_like(mean, np.inf), np.ones_like(mean))
    rest = d - seeds[..., None] - prompts[..., None, :] + mean[..., None, None]
    residual = (rest**2).sum((-2, -1)) / max((s - 1) * (p - 1) - lost, 1)
    # MS_seed holds the residual already: on it rests the part with few degrees, so nothing is subtracted there.
    by_seed = _variance(seeds) / s
    by_prompt = np.maximum(_variance(prompts) / p - residual / (s * p), 0.0)
    error = np.sqrt(by_seed + by_prompt)
    return Fit(mean, error, _degrees(by_seed, by_prompt, s, p))


def _variance(means: np.ndarray) -> np.ndarray:
    return means.var(-1, ddof=1) if means.shape[-1] > 1 else np.zeros(means.shape[:-1])


def _degrees(by_seed: np.ndarray, by_prompt: np.ndarray, s: int, p: int) -> np.ndarray:
    """Satterthwaite's, lowered where needed so that the interval is no narrower than t on the seed means.

    With three seeds the seed variance is by luck often seen far too small; Satterthwaite then trusts it with many degrees.
    """
    total = by_seed + by_prompt
    sure = np.where(total > 0, total, 1.0)
    share = by_seed / sure
    spread = share**2 / max(s - 1, 1) + (by_prompt / sure) ** 2 / max(p - 1, 1)
    plain = np.where(total > 0, 1 / np.where(total > 0, spread, 1.0), max(s - 1, 1))
    if s == 1:
        return plain
    needed = special.stdtrit(s - 1, _CONFIDENCE) * np.sqrt(share)
    return np.where(needed > special.stdtrit(plain, _CONFIDENCE), _degrees_at(needed), plain)


def _degrees_at(critical: np.ndarray) -> np.ndarray:
    """The degrees whose two-sided 5% point of t is `critical`; 1 where no t is so narrow, which the caller discards."""
    possible = critical > special.ndtri(_CONFIDENCE) + 1e-9
    return special.stdtridf(_CONFIDENCE, np.where(possible, critical, special.stdtrit(1, _CONFIDENCE)))


def completed(d: np.ndarray) -> tuple[np.ndarray, int]:
    """`d` (S, P) with every missing pair (NaN) filled by seed + prompt effect (least squares), and the degrees that this costs.

    So each seed and each prompt keeps equal weight, whatever is missing (Yates, Empire J. Exp. Agric. 1, 1933).
    """
    seen = ~np.isnan(d)
    if seen.all():
        return d, 0
    known, count = np.where(seen, d, 0.0), seen.sum(0)
    prompt = known.sum(0) / count
    # Prompt effects eliminated, the normal equations are only S × S, and singular: one constant is free.
    weight = seen.astype(float)
    system = np.diag(weight.sum(1)) - (weight / count) @ weight.T
    seed, _, rank, _ = np.linalg.lstsq(system, (known - weight * prompt).sum(1), rcond=1e-10)
    prompt = prompt - (weight * seed[:, None]).sum(0) / count
    left = int(seen.sum()) - d.shape[1] - int(rank)
    return np.where(seen, d, seed[:, None] + prompt), (d.shape[0] - 1) * (d.shape[1] - 1) - left


# ------------------------------------------------------------------------------------------------------------ one number


class Summary(NamedTuple):
    """An arm's own mean in the judge's unit, with its 95% interval [low, high] and what it rests on."""

    mean: float
    low: float
    high: float
    train_seeds: int
    prompts: int


class LogRatio(Effect):
    """An Effect on the scale log(arm's mean / baseline's mean): 0.0953 is 10% more. Relative margins are tested on it."""


def effect(
    table: Table | pd.DataFrame,
    arm: str,
    baseline: str,
    setting: str,
    judge: str,
    part: str,
    prompts: Collection[str] | None = None,
) -> Effect:
    """Arm minus baseline, paired by (train_seed, prompt, sample_seed), at these prompts (all of them where None).

    A pair in which either could not be judged is dropped; a (seed, prompt) with no pair left is filled as `completed` says. An
    anchor (training seed 0 alone) is paired with every training seed of the other. ValueError where nothing can be paired.
    """
    x, y = _pairs(Table.of(table), arm, baseline, setting, judge, part, prompts)
    fit = crossed(*completed(x - y))
    return _stated(Effect, (arm, baseline, setting, judge, part), fit, *x.shape)


def log_ratio(
    table: Table | pd.DataFrame,
    arm: str,
    baseline: str,
    setting: str,
    judge: str,
    part: str,
    prompts: Collection[str] | None = None,
) -> LogRatio:
    """log(arm's mean / baseline's mean), paired as `effect` is. ValueError where a mean is not positive.

    Over prompts by the delta method: x / mean(x) − y / mean(y) is what each pair adds to it. A set judge has no prompts; there
    it is the mean of the seeds' log ratios.
    """
    x, y = _pairs(Table.of(table), arm, baseline, setting, judge, part, prompts)
    single = x.shape[1] == 1
    means = (x, y) if single else tuple(completed(side)[0].mean() for side in (x, y))
    if not all(np.nanmin(mean) > 0 for mean in means):
        raise ValueError(
            f"a ratio needs positive means; {judge} {part!r} of {arm!r} or {baseline!r} is not: use the difference"
        )
    fit = crossed(*completed(np.log(x / y) if single else x / means[0] - y / means[1]))
    if not single:
        fit = fit._replace(mean=np.log(means[0] / means[1]))
    return _stated(LogRatio, (arm, baseline, setting, judge, part), fit, *x.shape)


def compare(
    table: Table | pd.DataFrame,
    arm: str,
    baseline: str,
    setting: str,
    judge: str,
    part: str,
    output: Output,
    prompts: Collection[str] | None = None,
) -> Effect:
    """The effect on the scale of the output's margin: a log ratio where that is a share of the baseline, else a difference."""
    measure = log_ratio if output.relative else effect
    return measure(table, arm, baseline, setting, judge, part, prompts)


def summary(
    table: Table | pd.DataFrame, arm: str, setting: str, judge: str, part: str, prompts: Collection[str] | None = None
) -> Summary:
    """The arm's own mean, under the same crossed model as an effect. ValueError where nothing was judged."""
    values, _ = _pairs(Table.of(table), arm, arm, setting, judge, part, prompts)
    fit = crossed(*completed(values))
    mean, half = float(fit.mean), float(fit.half())
    return Summary(mean, mean - half, mean + half, *values.shape)


def detectable(standard_error: float, degrees: float) -> float:
    """The smallest true difference found with 80% power at two-sided 5%, in the unit of the error: noncentral t, solved.

    The far tail is left out: at this power it holds less than a millionth.
    """
    return float(standard_error * special.nctdtrinc(degrees, 1 - _POWER, special.stdtrit(degrees, _CONFIDENCE)))


def _stated(kind: type[E], names: tuple[str, str, str, str, str], fit: Fit, seeds: int, prompts: int) -> E:
    mean, error, degrees, half = (float(x) for x in (*fit, fit.half()))
    p = min(1.0, 2 * _tail(abs(mean), error, degrees))
    return kind(*names, mean, mean - half, mean + half, p, error, degrees, seeds, prompts, detectable(error, degrees))


def _tail(distance: float, error: float, degrees: float) -> float:
    """The probability that Student's t exceeds distance / error; an error of 0 leaves no doubt, save about 0."""
    if error == 0:
        return 0.5 if distance == 0 else float(distance < 0)
    return float(special.stdtr(degrees, -distance / error))


# --------------------------------------------------------------------------------------------------- what may be claimed


def holm(effects: Sequence[Effect]) -> list[float]:
    """The p of each effect, adjusted: in 95% of studies none below 0.05 is false (Holm, Scand. J. Stat. 6, 1979)."""
    order = sorted(range(len(effects)), key=lambda i: effects[i].p)
    adjusted, running = [0.0] * len(effects), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(effects) - rank) * effects[i].p))
        adjusted[i] = running
    return adjusted


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
    down, up = _limits(effect, output)
    limit = down if output.better > 0 else up
    worst, kindest = (effect.low, effect.high) if output.better > 0 else (effect.high, effect.low)
    p = _tail(output.better * (effect.mean - limit), effect.standard_error, effect.degrees)
    if output.better * (worst - limit) > 0:
        return Verdict("no worse", worst, limit, p)
    return Verdict("worse" if output.better * (kindest - limit) < 0 else "inconclusive", worst, limit, p)


def equivalent(effect: Effect, output: Output) -> Verdict:
    """Two one-sided tests at 2.5% (TOST): "equivalent" where the 95% interval lies inside the margin on both sides."""
    down, up = _limits(effect, output)
    below = _tail(effect.mean - down, effect.standard_error, effect.degrees)
    above = _tail(up - effect.mean, effect.standard_error, effect.degrees)
    bound, limit = (effect.low, down) if below > above else (effect.high, up)
    inside = down < effect.low and effect.high < up
    return Verdict("equivalent" if inside else "inconclusive", bound, limit, max(below, above))


def _limits(effect: Effect, output: Output, share: float = 1.0) -> tuple[float, float]:
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


def best(
    table: Table | pd.DataFrame,
    arms: Sequence[str],
    setting: str,
    judge: str,
    part: str,
    output: Output,
    prompts: Collection[str] | None = None,
) -> Ranking:
    """Which arm has the best mean, and which arms the paired differences from it cannot tell apart.

    Holm's correction over those differences keeps the choice honest: a winner picked from many looks better than it is.
    """
    if output.better not in (-1, 1):
        raise ValueError(f"{judge} {part!r} has better = {output.better}: no arm is best there")
    indexed = Table.of(table)
    top = max(arms, key=lambda arm: output.better * summary(indexed, arm, setting, judge, part, prompts).mean)
    others = [arm for arm in arms if arm != top]
    adjusted = holm([effect(indexed, arm, top, setting, judge, part, prompts) for arm in others])
    worse = tuple(arm for arm, p in zip(others, adjusted, strict=True) if p < _LEVEL)
    return Ranking(top, tuple(arm for arm in others if arm not in worse), worse)


# ------------------------------------------------------------------------------------------------------------- the claim


@dataclass(frozen=True)
class Condition:
    """One thing that a claim asks of one arm: what was measured, whether that suffices, and both in words."""

    arm: str
    asks: Literal["lower", "no worse"]
    effect: Effect
    holds: bool
    sentence: str


@dataclass(frozen=True)
class Candidate:
    """How one candidate looked on validation prompts: what the choice minimises, what may not be lost, and if it qualifies."""

    arm: str
    lowest: Effect
    no_worse: tuple[Condition, ...]
    qualifies: bool


@dataclass(frozen=True)
class Decision:
    """A claim, the choice among its candidates on validation prompts, and what the other prompts say of the chosen one.

    All conditions must hold at once, so none is corrected for being one of several (Berger, Technometrics 24, 1982).
    """

    claim: Claim
    chosen: str | None
    candidates: tuple[Candidate, ...]
    conditions: tuple[Condition, ...]
    holds: bool
    sentence: str


def decide(table: Table | pd.DataFrame, claim: Claim, outputs: Outputs, validation_ids: Iterable[str]) -> Decision:
    """Chooses among the claim's candidates on the validation prompts alone, then tests the chosen one on all the others.

    A set judge is read at "part@validation" for the choice and at "part" for the test. ValueError where a measurement, an
    output, a margin or the validation prompts are missing.
    """
    indexed, validation = Table.of(table), frozenset(validation_ids)
    if not validation & set(indexed.prompts):
        raise ValueError(f"none of the {len(validation)} validation prompts is in this table: tag some prompts as 'validation'")
    candidates = tuple(_candidate(indexed, arm, claim, outputs, validation) for arm in claim.candidates)
    qualified = [candidate for candidate in candidates if candidate.qualifies]
    if not qualified:
        sentence = (
            f"On the validation prompts no candidate stays within half of every margin of {claim.baseline!r}: none is chosen."
        )
        return Decision(claim, None, candidates, (), False, sentence)
    chosen = min(qualified, key=lambda candidate: candidate.lowest.mean).arm
    conditions = _tested(indexed, chosen, claim, outputs, frozenset(indexed.prompts) - validation)
    holds = all(condition.holds for condition in conditions)
    return Decision(claim, chosen, candidates, conditions, holds, _conclusion(claim, chosen, conditions))


def _candidate(table: Table, arm: str, claim: Claim, outputs: Outputs, validation: frozenset[str]) -> Candidate:
    """Point estimates only: on few prompts an interval would let nothing through; half of the margin is the price."""
    place = (arm, claim.baseline, claim.setting)
    judge, part = claim.lower[0]
    lowest = effect(table, *place, judge, _part(table, claim, judge, part), validation)
    kept = []
    for judge, part in claim.no_worse:
        output = _output(outputs, judge, part)
        found = compare(table, *place, judge, _part(table, claim, judge, part), output, validation)
        down, up = _limits(found, output, share=0.5)
        holds = found.mean >= down if output.better > 0 else found.mean <= up
        limit = down if output.better > 0 else up
        sentence = f"{_numbers(found)}: {'within' if holds else 'beyond'} half of the margin ({limit:+.4g})"
        kept.append(Condition(arm, "no worse", found, holds, sentence))
    return Candidate(arm, lowest, tuple(kept), all(condition.holds for condition in kept))


def _tested(table: Table, arm: str, claim: Claim, outputs: Outputs, test: frozenset[str]) -> tuple[Condition, ...]:
    place = (table, arm, claim.baseline, claim.setting)
    lower = [_lower(effect(*place, judge, part, test)) for judge, part in claim.lower]
    kept = []
    for judge, part in claim.no_worse:
        output = _output(outputs, judge, part)
        kept.append(_no_worse(compare(*place, judge, part, output, test), output))
    return (*lower, *kept)


def _lower(found: Effect) -> Condition:
    holds = found.high < 0
    word = "lower" if holds else ("higher" if found.low > 0 else "not shown to be lower")
    return Condition(found.arm, "lower", found, holds, f"{_numbers(found)}: {word}")


def _no_worse(found: Effect, output: Output) -> Condition:
    verdict = non_inferior(found, output)
    word = "not shown to be no worse" if verdict.verdict == "inconclusive" else verdict.verdict
    sentence = f"{_numbers(found)}: {word}, by the limit {verdict.limit:+.4g}"
    return Condition(found.arm, "no worse", found, verdict.verdict == "no worse", sentence)


def _part(table: Table, claim: Claim, judge: str, part: str) -> str:
    """The part that the choice may look at."""
    return part + VALIDATION if table.is_set(claim.baseline, claim.setting, judge, part) else part


def _output(outputs: Outputs, judge: str, part: str) -> Output:
    output = outputs.get(judge, {}).get(part)
    if output is None:
        raise ValueError(f"the claim names {judge} {part!r}, which is not among the outputs: {sorted(outputs)}")
    if output.better not in (-1, 1):
        raise ValueError(f"the claim asks that {judge} {part!r} gets no worse, but its better is {output.better}")
    return output


def _numbers(found: Effect) -> str:
    scale = ", log ratio" if isinstance(found, LogRatio) else ""
    rests = f"{found.train_seeds} training seeds × {found.prompts} prompts"
    return f"{found.judge} {found.part}{scale}: {found.mean:+.4g} [{found.low:+.4g}, {found.high:+.4g}] ({rests})"


def _conclusion(claim: Claim, chosen: str, conditions: tuple[Condition, ...]) -> str:
    failed = [condition.sentence for condition in conditions if not condition.holds]
    if not failed:
        met = f"meets all {len(conditions)} conditions against {claim.baseline!r}"
        return f"The claim holds: {chosen!r}, chosen on validation prompts, {met}."
    return f"The claim does not hold for {chosen!r} against {claim.baseline!r}: {'; '.join(failed)}."
