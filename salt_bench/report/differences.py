"""How arms differ from the baseline, what that amounts to, and whether it is what others say."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from salt_bench.report import guard
from salt_bench.report.cells import BLANK, Cell, Table, counted, number, p_value, word
from salt_bench.report.source import AGREEMENT, Metric, Source
from salt_bench.stats.verdicts import holm
from salt_bench.types import Effect, Expectation

MARKS = dict.fromkeys(("better", "no worse", "equivalent"), "good") | dict.fromkeys(
    ("worse", "better, no success", "better, less motion"), "bad"
)
"""Verdict → how it is coloured."""


@dataclass(frozen=True)
class Comparison:
    """An effect with what a reader concludes from it: `verdict` is better, worse, equivalent, no worse, different or not
    decided."""

    metric: Metric
    effect: Effect
    holm: float
    verdict: str

    @property
    def text(self) -> str:
        return number(self.effect.mean, self.effect.low, self.effect.high, sign=True)


def comparisons(source: Source, setting: str, metrics: Iterable[Metric]) -> tuple[Comparison, ...]:
    """Every arm against the baseline; Holm's correction runs over all that are returned."""
    found = [(m, e) for m in metrics for a in source.arms if (e := source.effect(a, setting, m))]
    adjusted = holm([e for _, e in found])
    return tuple(Comparison(m, e, p, verdict(source, m, e, p)) for (m, e), p in zip(found, adjusted, strict=True))


def verdict(source: Source, metric: Metric, effect: Effect, p: float) -> str:
    """In words, by rule: significant after Holm, and what the margin says; else not decided."""
    at = effect.arm, effect.setting
    if p >= 0.05:
        kept = "no worse" if source.standing(*at, metric) == "no worse" else "not decided"
        return "equivalent" if source.equivalent(*at, metric) else kept
    if not metric.output.better:
        return "different, within the margin" if source.equivalent(*at, metric) else "different"
    if metric.output.better * effect.mean > 0:
        return _gain(source, metric, *at)
    return "worse, within the margin" if source.standing(*at, metric) == "no worse" else "worse"


def _gain(source: Source, metric: Metric, arm: str, setting: str) -> str:
    if metric.judge in AGREEMENT and source.fallen(arm, setting):
        return "better, no success"
    return "better, less motion" if guard.stilled(source, arm, setting) else "better"


def effects(source: Source) -> Table:
    """Arm minus baseline at the main setting for the main judges."""
    found = comparisons(source, source.setting, source.main)
    caption = (
        f"{source.world}Arm minus {source.baseline} at {source.setting}, paired by training seed, prompt and noise; "
        f"95% interval; p after Holm over these {len(found)} comparisons. “No worse” is non-inferiority by the margin, "
        "“equivalent” on both sides of it. P(better): on how many pairs of prompt and training seed the arm is better, "
        "ties counting half. Detectable: the smallest true difference that this design finds with 80% power. "
        "“No success”: a collapsed or blurred arm agrees with itself too."
    )
    columns = ("Judge", "Arm", "Difference", "P(better)", "p (Holm)", "Verdict", "Margin", "Detectable", "n")
    return Table(
        "effects", f"Effects against {source.baseline}", caption, columns, tuple(_effect_row(source, c) for c in found), 2
    )


@dataclass(frozen=True)
class Agreement:
    """A statement of others, what was measured of it, and whether the two agree; p is Holm's over all statements."""

    expectation: Expectation
    effect: Effect
    holm: float

    @property
    def word(self) -> str:
        if self.holm >= 0.05:
            return "not decided"
        return "agrees" if self.effect.mean * self.expectation.sign > 0 else "contradicts"

    @property
    def tone(self) -> str:
        return {"agrees": "good", "contradicts": "bad"}.get(self.word, "open")


def agreements(source: Source) -> tuple[Agreement, ...]:
    """Every statement of others that something was measured of."""
    adjusted = holm([effect for _, effect in source.expectations])
    return tuple(Agreement(x, e, p) for (x, e), p in zip(source.expectations, adjusted, strict=True))


def expectations(source: Source) -> Table | None:
    """What others say, beside what was measured here and what this design could have seen."""
    rows = tuple(_agreement_row(source, found) for found in agreements(source))
    caption = (
        f"{source.world}Others measured other models with other judges: the sign can be compared, the size cannot. "
        f"95% interval; p after Holm over these {len(rows)} rows. Detectable: the smallest true difference that this design "
        "finds with 80% power."
    )
    columns = ("Others say", "Measured here", "Difference", "p (Holm)", "Detectable", "n", "Verdict")
    return Table("expectations", "Against what others say", caption, columns, rows, 2) if rows else None


def _agreement_row(source: Source, found: Agreement) -> tuple[Cell, ...]:
    x, e = found.expectation, found.effect
    metric = source.metric(x.judge, x.part)
    return (
        word(x.says),
        word(f"{metric.title}{metric.arrow}, {x.setting}: {x.arm} − {x.baseline}"),
        Cell(number(e.mean, e.low, e.high, sign=True), e.mean),
        p_value(found.holm),
        _detectable(e),
        Cell(counted(e.train_seeds, e.prompts), e.train_seeds * max(e.prompts, 1)),
        word(found.word, "" if found.tone == "open" else found.tone),
    )


def _detectable(e: Effect) -> Cell:
    return Cell(f"{e.detectable:.2g}" if math.isfinite(e.detectable) else BLANK, e.detectable)


def all_effects(source: Source) -> Table:
    """Every judge at every setting, for the page alone: exploratory, so p is corrected over all of it."""
    metrics = (*source.main, *source.others)
    rows = [(s, c) for s in source.settings for c in comparisons(source, s, metrics)]
    caption = "Exploratory: p after Holm within a setting, over all judges."
    columns = ("Setting", "Judge", "Arm", "Difference", "P(better)", "p (Holm)", "Verdict", "Margin", "Detectable", "n")
    cells = tuple((word(s), *_effect_row(source, c)) for s, c in rows)
    return Table("all-effects", "All effects, every setting and judge", caption, columns, cells, 3)


def _effect_row(source: Source, c: Comparison) -> tuple[Cell, ...]:
    e = c.effect
    mark = MARKS.get(c.verdict, "")
    return (
        word(c.metric.title + c.metric.arrow),
        word(e.arm),
        Cell(c.text, e.mean),
        _improvement(source, c),
        p_value(c.holm),
        word(c.verdict, mark),
        _margin(source, c.metric, e.setting),
        _detectable(e),
        Cell(counted(e.train_seeds, e.prompts), e.train_seeds * max(e.prompts, 1)),
    )


def _improvement(source: Source, c: Comparison) -> Cell:
    found = source.improvement(c.effect.arm, c.effect.setting, c.metric)
    return Cell() if found is None else Cell(number(*found), found.mean)


def _margin(source: Source, metric: Metric, setting: str) -> Cell:
    margin = source.margin(setting, metric)
    if margin is None:
        return Cell()
    return Cell(f"{margin:.2g} ({metric.output.margin:.0%})" if metric.output.relative else f"{margin:g}", margin)
