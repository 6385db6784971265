"""What a study could see: variance components of one that was measured, and what other designs make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from salt_bench import long, results
from salt_bench.composites import shapes_total
from salt_bench.dense import Dense
from salt_bench.errors import UserError
from salt_bench.report.cells import BLANK, Cell, Table, word
from salt_bench.report.source import Metric, Source
from salt_bench.stats import table as tables
from salt_bench.stats.components import Components, of_effect, pooled
from salt_bench.stats.effects import cubes
from salt_bench.stats.power import PROMPTS as ASKED
from salt_bench.stats.power import SEEDS as MOST
from salt_bench.stats.power import Design, detectable, needed
from salt_bench.types import Score

SEEDS, PROMPTS = (1, 2, 3, 5, 8, 12), (32, 64, 128, 256, 512)
"""The designs of a printed table."""
ALL = ASKED[-1]
_PARTS = {
    "seed": "training seed",
    "prompt": "prompt",
    "seed_prompt": "seed × prompt",
    "sample": "sample seed",
    "noise": "noise",
    "teacher": "teacher seed",
}


@dataclass(frozen=True)
class Known:
    """Where the variance of a difference between two arms comes from, by one judge, and the design that showed it. Of videos
    that others made nothing is known of training seeds: they are not `trained`."""

    name: str
    unit: str
    found: Components
    design: Design
    margin: float | None = None
    trained: bool = True

    @property
    def prompts(self) -> tuple[int, ...]:
        """How many prompts may be asked: 1 of a set, and of videos as many as VBench has, too."""
        if self.design.prompts == 1 and self.trained:
            return (1,)
        return PROMPTS if self.trained else (*PROMPTS, ALL)


def of_study(source: Source, arm: str | None = None) -> list[Known]:
    """Every main and other judge at the main setting, pooled over all arms against the baseline, or of `arm` alone."""
    return [known for metric in (*source.main, *source.others) if (known := _known(source, source.scores, metric, arm))]


def of_composites(source: Source, wanted: str, arm: str | None = None) -> Known:
    """The same of the Shapes composite `wanted`. UserError where the study lacks a dimension of it."""
    rows = [row for row in results.read(source.folder / "scores.jsonl") if row.setting == source.setting]
    scores = shapes_total.scores(rows, source.prompts)
    indexed = tables.Table(long.frame(Dense.of(scores)))
    metrics = [Metric(shapes_total.NAME, part, output) for part, output in shapes_total.OUTPUTS.items()]
    found = [known for metric in metrics if (known := _known(source, indexed, metric, arm))]
    if wanted not in [one.name.partition(".")[2] for one in found]:
        raise UserError(f"{source.folder} has no Shapes {wanted}: {_note(scores)}")
    return next(one for one in found if one.name == f"{shapes_total.NAME}.{wanted}")


def _note(scores: Sequence[Score]) -> str:
    return next((score.note for score in scores if score.note), "nothing was judged")


def _known(source: Source, indexed: tables.Table, metric: Metric, arm: str | None) -> Known | None:
    """None where fewer than two values of a difference are there."""
    what = source.quantity(source.setting, metric)
    arms = [arm] if arm else [name for name in source.arms if name != source.baseline]
    each, design = [], Design(1, 1)
    for name in arms:
        try:
            each.append(of_effect(indexed, what, name, source.baseline))
            design = Design(*cubes(indexed, what, name, source.baseline)[0].shape)
        except ValueError:  # this arm was not measured so, or once only
            continue
    if not each:
        return None
    margin = source.margin(source.setting, metric) if metric.judge != shapes_total.NAME else metric.output.margin
    return Known(f"{metric.judge}.{metric.part}", metric.output.unit, pooled(each), design, margin)


def components_table(known: Sequence[Known], wanted: float) -> Table:
    """One row for each judge: the shares of the variance of a single difference, and what the study's own design sees."""
    there = [part for part in _PARTS if any(part in one.found.known() for one in known)]
    rows = tuple(_components_row(one, there, wanted) for one in known)
    columns = ("Judge", "SD of one difference", *(_PARTS[part] for part in there), "n", "Margin", "Detectable")
    caption = f"Shares of the variance of one paired difference; detectable: found with {wanted:.0%} power at two-sided 5%."
    return Table("components", "Variance components", caption, columns, rows, 1)


def _components_row(one: Known, there: Sequence[str], wanted: float) -> tuple[Cell, ...]:
    shares, whole = one.found.shares(), sum(one.found.known().values())
    smallest = detectable(one.design, one.found, wanted)
    sets = one.design.prompts == 1
    return (
        word(one.name),
        Cell(f"{whole**0.5:.3g}", whole**0.5),
        *(Cell(f"{shares[part]:.0%}", shares[part]) if part in shares else Cell() for part in there),
        Cell(f"{one.design.seeds} sets" if sets else f"{one.design.seeds} × {one.design.prompts}", one.design.clips),
        Cell(BLANK if one.margin is None else f"{one.margin:.3g}", one.margin or ""),
        Cell(f"{smallest:.3g}", smallest),
    )


def designs_table(one: Known, wanted: float, effect: float | None = None) -> Table:
    """Training seeds down, prompts across: the detectable difference; what sees `effect` is marked ✓."""
    prompts = one.prompts
    seeds = SEEDS if "seed" in one.found.known() else (1,)
    rows = tuple(
        (
            word(str(s) if one.trained else "none"),
            *(_seen(detectable(Design(s, p, one.design.samples), one.found, wanted), effect) for p in prompts),
        )
        for s in seeds
    )
    head = ("of sets",) if prompts == (1,) else tuple(f"{p} prompts" for p in prompts)
    unit = f", in {one.unit}" if one.unit and one.unit != "1" else ""
    rests = "one training seed speaks for itself alone" if one.trained else "two models, asked for prompts of their own"
    caption = f"Detectable difference of {one.name} with {wanted:.0%} power{unit}; {rests}."
    return Table("designs", one.name, caption, ("Training seeds", *head), rows, 1)


def _seen(smallest: float, effect: float | None) -> Cell:
    enough = effect is not None and smallest <= effect
    text = f"{smallest:.3g}" if isfinite(smallest) else BLANK
    return Cell(text + (" ✓" if enough else ""), smallest, "good" if enough else "")


def need(one: Known, effect: float, wanted: float) -> str:
    """How many training seeds and prompts see `effect`."""
    designs = needed(effect, one.found, wanted, one.prompts)
    if not designs:
        return f"to see {effect:g} of {one.name} takes more than {_design(one, Design(MOST[-1], one.prompts[-1]))}"
    said = ", or ".join(_design(one, design) for design in designs)
    return f"to see {effect:g} of {one.name} with {wanted:.0%} power you need {said}"


def _design(one: Known, design: Design) -> str:
    seeds = [f"{design.seeds} training seed{'s' if design.seeds > 1 else ''}"] if one.trained else []
    return " and ".join([*seeds, *([f"{design.prompts} prompts"] if design.prompts > 1 else [])])


def of_videos(folder: Path) -> Known:
    """The difference of two Totals like that of the model whose judged videos lie in `folder`, asked for other prompts.

    UserError where its Total has no interval."""
    from salt_bench.composites import reading, summary
    from salt_bench.composites.known import SCHEMES
    from salt_bench.report.scores_page import Scores

    scheme = SCHEMES[Scores.read(folder).summary["benchmark"]]
    estimate = summary.summarise(scheme, reading.read([folder], scheme)).estimate("total")
    if estimate is None or estimate.detectable is None:
        raise UserError(f"{folder} has no interval of its Total: judge all dimensions, at two prompts or more")
    variance = 2 * 1e4 * estimate.standard_error**2 * estimate.prompts
    return Known("total", "points of a hundred", Components(prompt=variance), Design(1, estimate.prompts), trained=False)


def given(values: Mapping[str, float], found: Components) -> Known:
    """Of standard deviations that somebody gives."""
    said = ", ".join(f"{name} {value:g}" for name, value in values.items())
    return Known(
        f"a judge with standard deviations {said}", "", found, Design(3, 256 if set(values) - {"seed", "teacher"} else 1)
    )


def choose(known: Sequence[Known], name: str) -> Known:
    """The one called "judge.part", or the first part of "judge". UserError names what there is."""
    hits = [one for one in known if name in (one.name, one.name.partition(".")[0])]
    if not hits:
        raise UserError(f"no judge {name!r} here; there are {', '.join(one.name for one in known)}")
    return hits[0]


def lines(table: Table) -> Iterator[str]:
    """For a terminal."""
    from salt_bench.report.cells import markdown

    yield table.caption
    yield markdown(table)
