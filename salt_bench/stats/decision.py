"""A study's claim, decided by its rule: a candidate chosen on validation prompts, then tested on all the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from salt_bench.stats.effects import LogRatio, compare, effect
from salt_bench.stats.table import Quantity, Table
from salt_bench.stats.verdicts import limits, non_inferior
from salt_bench.types import Claim, Effect, Output

Outputs = Mapping[str, Mapping[str, Output]]
"""judge → part → what that number means."""

VALIDATION = "@validation"
"""What a set judge appends to a part that it computed over the validation prompts."""


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
    lowest = effect(table, _looked_at(table, claim, claim.lower[0], validation), arm, claim.baseline)
    kept = []
    for named in claim.no_worse:
        output = _output(outputs, *named)
        found = compare(table, _looked_at(table, claim, named, validation), arm, claim.baseline, output)
        down, up = limits(found, output, share=0.5)
        holds = found.mean >= down if output.better > 0 else found.mean <= up
        limit = down if output.better > 0 else up
        sentence = f"{_numbers(found)}: {'within' if holds else 'beyond'} half of the margin ({limit:+.4g})"
        kept.append(Condition(arm, "no worse", found, holds, sentence))
    return Candidate(arm, lowest, tuple(kept), all(condition.holds for condition in kept))


def _tested(table: Table, arm: str, claim: Claim, outputs: Outputs, test: frozenset[str]) -> tuple[Condition, ...]:
    lower = [_lower(effect(table, Quantity(claim.setting, *named, test), arm, claim.baseline)) for named in claim.lower]
    kept = []
    for named in claim.no_worse:
        output = _output(outputs, *named)
        kept.append(_no_worse(compare(table, Quantity(claim.setting, *named, test), arm, claim.baseline, output), output))
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


def _looked_at(table: Table, claim: Claim, named: tuple[str, str], validation: frozenset[str]) -> Quantity:
    """What the choice may look at of (judge, part)."""
    what = Quantity(claim.setting, *named, validation)
    return replace(what, part=what.part + VALIDATION) if table.is_set(claim.baseline, what) else what


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
