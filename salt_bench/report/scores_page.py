"""The page of one model's scores, beside its scores.jsonl and summary.json: index.html and report.md."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench.composites import precision
from salt_bench.composites.known import SCHEMES
from salt_bench.composites.scheme import Range, Scheme
from salt_bench.errors import UserError
from salt_bench.report import plain
from salt_bench.report.cells import BLANK, Cell, Table, number, word
from salt_bench.report.drawing import COLOURS, INK, half, panels, style, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY, SCORES, TIMINGS = "summary.json", "scores.jsonl", "timings.jsonl"
WORST = 5
"""Videos that a dimension's table of the lowest shows."""
MISSING = 30
"""Missing videos that are listed; the rest is counted."""
_RANDOM = (
    "Made with random weights. The networks were {random}: this page shows that everything runs; its numbers mean nothing and "
    "are no scores of {name}."
)


@dataclass(frozen=True)
class Scores:
    """What `salt-bench judge` left in a folder: the summary, a row per video and dimension, and seconds per video and pass."""

    summary: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    timings: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, folder: Path) -> Scores:
        """Raises UserError that names the file which is missing or damaged."""
        try:
            summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
            rows = _lines(folder / SCORES)
            timings = _lines(folder / TIMINGS) if (folder / TIMINGS).is_file() else ()
            assert summary["benchmark"] in SCHEMES
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise UserError(f"{folder} holds no readable {SUMMARY} and {SCORES} of salt-bench judge ({error})") from error
        return cls(summary, rows, timings)

    @property
    def scheme(self) -> Scheme:
        return SCHEMES[self.summary["benchmark"]]

    @property
    def protocol(self) -> Mapping[str, Any]:
        return self.summary["protocol"]

    @cached_property
    def ranges(self) -> dict[str, tuple[str, Range]]:
        """Dimension → its group and its place in it, of those that were judged."""
        scheme, known = self.scheme, self.summary["dimensions"]
        found = {name: (group, span) for group, spans in scheme.groups.items() for name, span in spans.items()}
        return {name: found.get(name, ("beside", Range())) for name in scheme.dimensions if name in known}

    def interval(self, name: str) -> tuple[float, float]:
        low, high = self.summary["intervals"].get(name) or (math.nan, math.nan)
        return low, high


def _lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    return tuple(map(json.loads, path.read_text(encoding="utf-8").splitlines()))


def render(folder: Path) -> list[Path]:
    """Writes the page into `folder` and returns its files. The same scores give the same bytes. Raises as `Scores.read`."""
    return plain.write(folder, _page(Scores.read(folder)))


def _page(scores: Scores) -> plain.Page:
    title, random = scores.scheme.name.replace("_", " "), scores.protocol.get("random_weights", "")
    found = (composites(scores), dimensions(scores), lowest(scores), unjudged(scores), seconds(scores))
    return plain.Page(
        title,
        question=f"The scores of {len({row['video'] for row in scores.rows})} videos",
        points=(),
        tables=tuple(table for table in found if table),
        methods=tuple(gaps(scores)),
        heading="What the numbers do not rest on",
        banner=_RANDOM.format(random=random, name=title) if random else "",
        figures=(_figure(scores),) if scores.ranges else (),
        protocol=json.dumps(scores.protocol, indent=2, sort_keys=True, ensure_ascii=False),
    )


def composites(scores: Scores) -> Table:
    """Quality, Semantic, Total, in per cent."""
    rows = tuple(_composite(scores, name) for name in scores.scheme.composites)
    caption = "Per cent, 95% intervals over prompts. A composite that lacks a dimension is missing, never a sum with zeros."
    return Table("composites", "Scores", caption, ("Composite", "Lacks", "Score"), rows, 2)


def _composite(scores: Scores, name: str) -> tuple[Cell, ...]:
    lacks = scores.scheme.missing(name, scores.summary["dimensions"])
    return word(name), word(", ".join(lacks) or BLANK), _percent(scores.summary[name], scores.interval(name))


def dimensions(scores: Scores) -> Table:
    """Every dimension that was judged and what it rests on."""
    caption = (
        f"Per cent, aggregate {scores.summary['aggregate']}. Normalised: the place between the benchmark's own worst and best, "
        "as its composites count it. Prompts: judged of the full suite."
    )
    columns = ("Dimension", "Group", "Score", "Normalised", "Prompts", "Videos", "Left out", "Not judged")
    rows = tuple(_dimension(scores, name) for name in scores.ranges)
    return Table("dimensions", "Dimensions", caption, columns, rows, 2)


def _dimension(scores: Scores, name: str) -> tuple[Cell, ...]:
    (group, span), value, summary = scores.ranges[name], scores.summary["dimensions"][name], scores.summary
    low, high = scores.interval(name)
    whole = scores.scheme.prompts.get(name)
    prompts = summary["prompts"][name]
    counts = (summary["videos"][name], summary.get("left_out", {}).get(name, 0), len(summary.get("unjudged", {}).get(name, ())))
    return (
        word(name),
        word(group),
        _percent(value, (low, high)),
        _percent(span.normalised(value), (span.normalised(low), span.normalised(high))),
        Cell(f"{prompts} of {whole}" if whole else str(prompts), float(prompts)),
        *(Cell(str(count), float(count)) for count in counts),
    )


def _percent(value: float | None, interval: tuple[float, float]) -> Cell:
    if value is None:
        return Cell()
    low, high = interval
    return Cell(number(100 * value, 100 * low, 100 * high), value)


def lowest(scores: Scores) -> Table | None:
    """The videos to look at, of every dimension whose videos differ."""
    rows = [_low(name, row) for name in scores.ranges for row in _worst(scores, name)]
    caption = f"The {WORST} lowest videos of every dimension: the ones to look at."
    return Table("lowest", "Lowest videos", caption, ("Dimension", "Video", "Value"), tuple(rows), 2) if rows else None


def _worst(scores: Scores, name: str) -> Sequence[Mapping[str, Any]]:
    own = [row for row in scores.rows if row["judge"].endswith(f"/{name}") and row["value"] is not None]
    if len(own) <= WORST or len({row["value"] for row in own}) < 2:
        return ()
    return sorted(own, key=lambda row: (row["value"], row["video"]))[:WORST]


def _low(name: str, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    return word(name), word(row["video"]), Cell(number(row["value"]), row["value"])


def unjudged(scores: Scores) -> Table | None:
    """Rows without a value, by reason."""
    counts = Counter((row["judge"].split("/")[-1], row["note"]) for row in scores.rows if row["value"] is None)
    if not counts:
        return None
    rows = tuple((word(name), word(note), Cell(str(n), float(n))) for (name, note), n in sorted(counts.items()))
    return Table("unjudged", "Not judged", "Counted, never averaged away.", ("Dimension", "Reason", "Videos"), rows, 2)


def seconds(scores: Scores) -> Table | None:
    """Where the time went, in the run that wrote the scores; what was known already took none."""
    spent = Counter[str]()
    for line in scores.timings:
        spent.update(line["seconds"])
    whole, decodes = spent.pop("all", 0.0), sum(line["decodes"] for line in scores.timings)
    if not decodes:
        return None
    rows: list[tuple[str, float]] = [(name, took) for name, took in spent.most_common() if took >= 0.001 * whole]
    rows.append(("decoding and the rest", whole - sum(spent.values())))
    cells = tuple((word(name), Cell(f"{took:.1f}", took), Cell(f"{100 * took / whole:.1f}", took)) for name, took in rows)
    caption = f"{whole:.0f} s in all workers, {decodes} decodes of {len(scores.timings)} videos."
    return Table("seconds", "Where the time went", caption, ("Pass", "Seconds", "Per cent"), cells)


def gaps(scores: Scores) -> Iterator[str]:
    """What the numbers do not rest on, in sentences."""
    dimensionless = [name for name in scores.summary["missing"] if ": " not in name]
    absent = [name for name in scores.summary["missing"] if ": " in name]
    for name in dimensionless:
        yield f"{name} was not judged: {scores.summary['missing_because'].get(name, 'not asked for')}."
    yield from (f"Missing video, {name}." for name in absent[:MISSING])
    if len(absent) > MISSING:
        yield f"{len(absent) - MISSING} more videos are missing; all are in {SUMMARY}."
    short = [n for n in scores.ranges if scores.summary["prompts"][n] < scores.scheme.prompts.get(n, 0)]
    if sentence := precision.lost(scores.protocol.get("size", "")):
        yield f"{sentence}."
    if short:
        yield f"Not the full suite, so not comparable with published numbers: {', '.join(short)}."
    yield from (f"{remark}." for remark in scores.summary["remarks"])


def _figure(scores: Scores) -> plain.Figure:
    text = "Each dimension between the benchmark's own worst (0) and best (100), with 95% intervals"
    with style():
        return plain.Figure("dimensions", "dimensions", svg(_forest(scores)), text)


def _forest(scores: Scores) -> Figure:
    names = list(scores.ranges)
    figure, grid = panels(1, 1, 7.0, 0.3 * len(names) + 0.8)
    axes = grid[0, 0]
    groups = list(dict.fromkeys(group for group, _ in scores.ranges.values()))
    for at, name in enumerate(names):
        group, span = scores.ranges[name]
        low, mean, high = (100 * span.normalised(x) for x in _spread(scores, name))
        colour = COLOURS[1 + groups.index(group)]
        axes.errorbar(mean, at, xerr=half(low, mean, high), fmt="o", color=colour, markersize=5.5, capsize=2.5, lw=1.6)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], color=INK)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("normalised, per cent")
    axes.grid(False, axis="y")
    return figure


def _spread(scores: Scores, name: str) -> tuple[float, float, float]:
    low, high = scores.interval(name)
    return low, scores.summary["dimensions"][name], high
