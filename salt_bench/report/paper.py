"""The paper's tables, T1–T3 and A1–A5: what is published, what others re-evaluated, and what was measured here.

Only the embedded world is measured in this repository. Its numbers stand in a column of their own, as Shapes numbers: the sign
of a difference between two rows can be compared with the paper's, no value can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from salt_bench import results
from salt_bench.composites import shapes_total
from salt_bench.errors import WrongUse
from salt_bench.report import plain, published
from salt_bench.report.cells import BLANK, Cell, Table, number, word
from salt_bench.report.source import Source
from salt_bench.stats.effects import Summary

TITLES = {
    "T1": "Image to video, VBench-I2V",
    "T2": "Text to video, VBench, 4 and 2 evaluations",
    "T3": "30 seconds, VBench-Long",
    "A1": "Training grid against self-consistency",
    "A2": "Autoregressive components",
    "A3": "Semigroup defect by interval",
    "A4": "Cross-step consistency",
    "A5": "Quality against steps",
}
THIRD_PARTY = "third party"
NOT_HERE = "not measured here"


@dataclass(frozen=True)
class Place:
    """Where something like a row of the paper was measured: an arm of a published study, at a setting."""

    study: str
    arm: str
    setting: str = "4 steps"


@dataclass(frozen=True)
class Line:
    """A row of one of the paper's tables; a metric that the paper does not have is the embedded world's own."""

    table: str
    model: str
    nfe: int
    metric: str


_GRID = {
    "DMD-4": "DMD-4",
    "DMD-8": "DMD-8",
    "DMD-16": "DMD-16",
    "SC-DMD": "SC-DMD",
    "DMD + SCFM (naive)": "DMD-4 + mismatched SC",
}
_AUTOREGRESSIVE = {
    "Causal Forcing": "base",
    "Causal Forcing + SC": "+SC",
    "Causal Forcing + mixed": "+mixed",
    "Causal Forcing + mixed + SC": "+mixed +SC",
    "Causal Forcing + mixed + SC + align": "+mixed +SC +align",
}
_FORCINGS = ("Self Forcing", "Causal Forcing", "LongLive")
_STEPS = (2, 4, 8, 16)
PLACES: Mapping[tuple[str, str, int], Place] = {
    ("T2", "DMD", 4): Place("grid", "DMD-4"),
    ("T2", "Salt (SC-DMD)", 4): Place("grid", "SC-DMD"),
    **{("T2", name, nfe): Place("baselines", name, f"{nfe} steps") for name in _FORCINGS for nfe in (4, 2)},
    **{
        ("T2", f"Salt + {name}", nfe): Place("baselines", f"{name} + Salt", f"{nfe} steps")
        for name in _FORCINGS
        for nfe in (4, 2)
    },
    **{("A1", model, 4): Place("grid", arm) for model, arm in _GRID.items()},
    **{
        ("A2", model, nfe): Place("ar_components", arm, f"{nfe} steps")
        for model, arm in _AUTOREGRESSIVE.items()
        for nfe in (4, 2)
    },
    **{("A3", model, 4): Place("grid", arm) for model, arm in (("DMD", "DMD-4"), ("SC-DMD", "SC-DMD"))},
    **{("A4", model, 4): Place("grid", model) for model in ("DMD-4", "DMD-8", "SC-DMD")},
    **{("A5", model, nfe): Place("grid", model, f"{nfe} steps") for model in ("DMD-4", "DMD-8", "SC-DMD") for nfe in _STEPS},
}
"""(table, model, evaluations) → where its like was measured; "DMD" of T2 has the numbers of A1's DMD-4."""

_TOTALS = {part: (shapes_total.NAME, part) for part in shapes_total.OUTPUTS}
COUNTERPARTS: Mapping[str, tuple[str, str]] = {
    **_TOTALS,
    "spatial_relationship": ("shapes", "relation"),
    "defect": ("semigroup_defect", "defect"),
}
"""A published metric → the judge and part that take its place in the embedded world."""
_QUALITY = (("shapes", "accuracy"), ("frechet", "distance"))
_INTERVALS = tuple(("semigroup_defect", f"{part}/ratio") for part in ("1000-750", "750-500", "500-250", "250-0"))
_OWN: Mapping[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(("T2", "A1", "A2", "A5"), _QUALITY),
    "A3": _INTERVALS,
    "A4": (("cross_step", "latent mean"), ("cross_step", "feature mean")),
}
"""Table → what else the embedded world has to say there."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The published studies of a folder, each read when it is asked for."""

    folder: Path

    @cached_property
    def _sources(self) -> dict[str, Source | None]:
        return {}

    @cached_property
    def _composites(self) -> dict[str, dict[tuple[str, str, str], Summary]]:
        return {}

    def source(self, study: str) -> Source | None:
        """None where there is no such study."""
        if study not in self._sources:
            there = (self.folder / study / "scores.jsonl").is_file()
            self._sources[study] = Source.read(self.folder / study) if there else None
        return self._sources[study]

    def summary(self, place: Place, judge: str, part: str) -> Summary | None:
        """The arm's mean there, with its interval; None where it was not measured."""
        source = self.source(place.study)
        if source is None or place.setting not in source.places(place.arm):
            return None
        if judge == shapes_total.NAME:
            return self._composite(source).get((place.arm, place.setting, part))
        if (judge, part) not in source.outputs or not source.has(place.arm, place.setting, source.metric(judge, part)):
            return None
        return source.summary(place.arm, place.setting, source.metric(judge, part))

    def _composite(self, source: Source) -> dict[tuple[str, str, str], Summary]:
        """(arm, setting, composite), of the arms that stand in a table; whatever lacks a dimension is left out."""
        name = source.folder.name
        if name not in self._composites:
            wanted = {place.arm for place in PLACES.values() if place.study == name}
            rows = [score for score in results.read(source.folder / "scores.jsonl") if score.arm in wanted]
            self._composites[name] = shapes_total.summaries(rows, source.prompts)
        return self._composites[name]

    def title(self, place: Place, judge: str, part: str) -> str:
        """What the study calls it."""
        source = self.source(place.study)
        return f"{judge} {part}" if source is None or (judge, part) not in source.outputs else source.metric(judge, part).title


def page(names: Sequence[str], reports: Path) -> plain.Page:
    """The tables called `names`, all of them where there are none. WrongUse for a name that is none."""
    if unknown := [name for name in names if name not in TITLES]:
        raise WrongUse(f"the paper's tables are {', '.join(TITLES)}, got {unknown[0]!r}")
    measured = Measured(reports)
    facts = published.load()
    tables = tuple(_table(name, facts[facts["table"] == name], measured) for name in names or TITLES)
    question = (
        "Published: as the paper, its authors or their peers have it. Re-evaluated: by third parties, on released checkpoints. "
        "Measured here: the embedded world Shapes, tiny models and judges of its own, not VBench."
    )
    return plain.Page("The paper's tables", question, tuple(_points(facts)), tables)


def _points(facts: pd.DataFrame) -> Iterator[str]:
    wrong = published.contradictions(facts)
    said = "; ".join(map(str, wrong)) or "all are, within the rounding of two decimals"
    count = len(published.totals(facts))
    yield f"{count} published totals can be held against (4·quality + semantic)/5 of their own parts: {said}."
    yield from (f"A published gain beside lost motion: {one}." for one in published.stilled(facts))
    yield "Two versions of SC-DMD are public, 83.19 (T2) and 83.36 (A1): both stand, each with its source."


def _table(name: str, facts: pd.DataFrame, measured: Measured) -> Table:
    wrong = published.contradictions(facts)
    rows = tuple(_row(line, facts, measured, wrong) for line in _lines(name, facts))
    columns = ("Model", "Metric", "Source", "NFE", "Published", "Re-evaluated", "Measured here (Shapes, not VBench)")
    caption = f"Paper form {name}." + ("" if len(facts) else " No number of it is public in a form that can be carried here.")
    return Table(f"paper-{name}", f"{name}: {TITLES[name]}", caption, columns, rows, 3)


def _lines(name: str, facts: pd.DataFrame) -> list[Line]:
    """What is published in the file's order; then, model by model, what only the embedded world has."""
    there = [Line(name, *key) for key in zip(facts["model"], facts["nfe"].astype(int), facts["metric"], strict=True)]
    own = [
        Line(name, model, nfe, f"{judge}.{part}")
        for table, model, nfe in PLACES
        if table == name
        for judge, part in _OWN.get(name, ())
    ]
    models = dict.fromkeys((line.model, line.nfe) for line in (*there, *own))
    return [line for at in models for line in dict.fromkeys((*there, *own)) if (line.model, line.nfe) == at]


def _row(line: Line, facts: pd.DataFrame, measured: Measured, wrong: Sequence[published.Total]) -> tuple[Cell, ...]:
    mine = facts[(facts["model"] == line.model) & (facts["nfe"] == line.nfe) & (facts["metric"] == line.metric)]
    others = mine["trust"] == THIRD_PARTY
    flagged = [t for t in wrong if line.metric == "total" and (t.model, t.nfe) == (line.model, line.nfe)]
    return (
        word(line.model),
        word(_metric(line, measured)),
        word("; ".join(f"{row.source}, {row.trust}" for row in mine[~others].itertuples()) or BLANK),
        Cell(str(line.nfe), line.nfe),
        _numbers(mine[~others], flagged),
        _numbers(mine[others], [], named=True),
        _measured(line, measured),
    )


def _metric(line: Line, measured: Measured) -> str:
    judge, dot, part = line.metric.partition(".")
    if not dot:
        return line.metric.replace("_", " ")
    return f"Shapes: {measured.title(PLACES[line.table, line.model, line.nfe], judge, part)}"


def _numbers(facts: pd.DataFrame, wrong: Sequence[published.Total], named: bool = False) -> Cell:
    """The values of one or more sources; a total that its own parts do not give is flagged."""
    if facts.empty:
        return Cell()
    texts = [_value(row.metric, row.value) + (f" ({row.source})" if named else "") for row in facts.itertuples()]
    flags = [f" ⚠ its parts give {total.computed:.2f}" for total in wrong if total.source.startswith(facts["source"].iloc[0])]
    return Cell("; ".join(texts) + "".join(flags), float(facts["value"].iloc[0]), "bad" if flags else "")


def _value(metric: str, value: float) -> str:
    return f"{value:.4f}" if metric == "defect" else f"{value:.2f}"


def _measured(line: Line, measured: Measured) -> Cell:
    place = PLACES.get((line.table, line.model, line.nfe))
    judge, _, part = line.metric.partition(".")
    key = (judge, part) if part else COUNTERPARTS.get(line.metric)
    found = measured.summary(place, *key) if place and key else None
    if found is None or place is None:
        return Cell(NOT_HERE)
    hint = f"{place.study}: {place.arm}, {place.setting}; n = {found.train_seeds} × {found.prompts}"
    return Cell(f"Shapes {number(found.mean, found.low, found.high)}", found.mean, hint=hint)
