"""How a training went, read from its log: a table by tenths of the run, one by noise level, and what to do about it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from salt_bench.errors import UserError
from salt_train import checkpoint, paused
from salt_train.notes import BINS

Rows = Sequence[Mapping[str, Any]]

FEW = 12  # updates below which a stretch of a run says nothing about a trend
CERTAIN, MARKED = 3.0, 0.10  # a trend: a slope of so many standard errors that changes the value by such a share
ALWAYS = 0.95  # share of updates above which clipping is the rule
BY_BIN = {"gradient": "|gradient|", "apart": "|fake-real|", "critic": "critic loss", "behind": "critic/teacher"}
LOOKS = ("saturation", "spread", "motion")

PROGRESS = (
    "The loss of {term} is no measure of progress: it is half the mean square of a gradient that is divided by the student's "
    "own error, so it may rise while videos get better. Judge videos (salt-bench judge) to know."
)
OLD = "The log notes nothing about {what}: {why}."


@dataclass(frozen=True)
class Trend:
    """The straight line through a stretch of a run: its values at both ends, and its slope in standard errors."""

    first: float
    last: float
    errors: float

    @property
    def rises(self) -> bool:
        return self.errors > CERTAIN and self.last > (1 + MARKED) * self.first

    @property
    def falls(self) -> bool:
        return self.errors < -CERTAIN and self.last < (1 - MARKED) * self.first

    def __str__(self) -> str:
        return f"{self.first:.3g} → {self.last:.3g}"


def log(folder: Path) -> list[dict[str, Any]]:
    """The rows of a finished or paused run.

    Raises UserError where the folder holds neither, or a damaged log."""
    path = folder / checkpoint.LOG
    if not path.is_file():
        rows = paused.rows(folder)
        if rows is None:
            raise UserError(f"{folder} holds neither a finished nor a stopped run; name a folder of <runs>/checkpoints")
        return rows
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete its folder and train again") from None


def page(rows: Rows) -> str:
    """All that a log says, for a terminal."""
    terms = noted(rows)
    parts = [f"{len(rows)} updates"]
    for term in terms:
        parts += [table(by_tenths(rows, term)), table(by_bins(rows, term))]
    return "\n\n".join([*parts, *(f"- {line}" for line in advice(rows, terms))])


def noted(rows: Rows) -> list[str]:
    """The terms that noted more than a loss, in the order of their names."""
    return sorted({name.split("/")[0] for row in rows for name in row if "/" in name})


def by_tenths(rows: Rows, term: str) -> list[list[str]]:
    """A line for each tenth of the run: its updates, and means over them."""
    columns = {"loss": series(rows, term)}
    columns |= {said: overall(rows, term, name) for name, said in BY_BIN.items()}
    columns |= {name: series(rows, f"{term}/{name}") for name in LOOKS}
    columns |= {"norm": series(rows, "gradient"), "clipped": series(rows, "clipped")}
    lines = [["updates", *columns]]
    for low, high in _ends(rows):
        lines.append([f"{low}-{high - 1}", *(_said(mean(points, low, high)) for points in columns.values())])
    return lines


def by_bins(rows: Rows, term: str) -> list[list[str]]:
    """A line for each bin of noise levels: means over the first third of the run and over the last."""
    third, whole = len(rows) // 3, len(rows)
    lines = [["sigma", *(f"{said}, first → last third" for said in BY_BIN.values())]]
    for place in BINS:
        points = [series(rows, f"{term}/{name}/{place}") for name in BY_BIN]
        lines.append([place, *(f"{_said(mean(p, 0, third))} → {_said(mean(p, whole - third, whole))}" for p in points)])
    return lines


def advice(rows: Rows, terms: Sequence[str]) -> Iterator[str]:
    """What the numbers say, in sentences."""
    found = [line for term in terms for line in (*worn(rows, term), *lagging(rows, term), *unknowing(rows, term))]
    found += clipped(rows)
    yield from found
    if terms and not found and len(rows) // 3 >= FEW:
        yield "Nothing looks wrong in these numbers."
    yield from (PROGRESS.format(term=term) for term in terms)
    yield from missing(rows, terms)


def worn(rows: Rows, term: str) -> Iterator[str]:
    """Whether saturation rose or motion fell over the last third of the run, and where it was best to stop."""
    saturation, motion = (series(rows, f"{term}/{name}") for name in ("saturation", "motion"))
    late = len(rows) - len(rows) // 3
    said = []
    if (rising := trend(saturation, late)) and rising.rises:
        said.append(f"saturation rose ({rising})")
    if (falling := trend(motion, late)) and falling.falls:
        said.append(f"motion fell ({falling})")
    if not said:
        return
    low, high = best(rows, saturation, motion)
    there = f"saturation {_said(mean(saturation, low, high))}, motion {_said(mean(motion, low, high))}"
    stop = f"Stop earlier: update {high} looked best ({there} before it). Train so many updates, and judge both students."
    none = "No earlier part of the run looked better, though."
    yield f"Over the last third {' and '.join(said)}. {stop if high < len(rows) else none}"


def best(rows: Rows, saturation: dict[int, float], motion: dict[int, float]) -> tuple[int, int]:
    """The tenth of the run, behind its first third, with the least saturation and the most motion, each as a share of its mean
    over the run. Before that a student has not learned yet, and blur looks tame too."""

    def wear(tenth: tuple[int, int]) -> float:
        parts = [(1, saturation), (-1, motion)]
        shares = [sign * mean(p, *tenth) / middle for sign, p in parts if p and (middle := fmean(p.values()))]
        return sum(0.0 if math.isnan(share) else share for share in shares)

    return min((tenth for tenth in _ends(rows) if tenth[0] >= len(rows) // 3), key=wear)


def lagging(rows: Rows, term: str) -> Iterator[str]:
    """Where the critic's loss and the gradient that it leaves both grew over the second half of the run."""
    found = []
    for place in BINS:
        loss, grad = (trend(series(rows, f"{term}/{name}/{place}"), len(rows) // 2) for name in ("critic", "gradient"))
        if loss and grad and loss.rises and grad.rises:
            found.append(f"σ {place} (critic loss {loss}, gradient {grad})")
    if found:
        cure = "Give it more updates for each of the student's (critic_updates), or a higher rate"
        yield f"The critic cannot keep up: over the second half of the run both grew at {', '.join(found)}. {cure}."


def unknowing(rows: Rows, term: str) -> Iterator[str]:
    """Where the critic denoises the student's videos no better than the teacher does, at the end of the run."""
    third = len(rows) // 3
    ends = {place: mean(series(rows, f"{term}/behind/{place}"), len(rows) - third, len(rows)) for place in BINS}
    found = [f"σ {place} ({value:.2f} of its error)" for place, value in ends.items() if value >= 1]
    if found and len(rows) >= FEW:
        yield f"The critic knows the student's videos no better than the guided teacher does, at {', '.join(found)}."


def clipped(rows: Rows) -> Iterator[str]:
    """Whether clipping was the rule."""
    flags = series(rows, "clipped")
    if len(flags) >= FEW and (share := fmean(flags.values())) >= ALWAYS:
        norm = np.median(list(series(rows, "gradient").values()))
        cure = "all gradients count alike, however sure they are; a `clip` above the usual norm clips only outliers"
        yield f"The gradient was clipped at {share:.0%} of the updates (median norm {norm:.3g}): {cure}."


def missing(rows: Rows, terms: Sequence[str]) -> Iterator[str]:
    """What a log lacks, and since when."""
    if not terms:
        old = any(name.startswith("DMD") for row in rows for name in row)
        why = "it was written before trainings noted that; train anew to have it" if old else "only DMD notes that"
        yield OLD.format(what="gradients and critics by noise level, saturation and motion", why=why)
    if not any("clipped" in row for row in rows):
        yield OLD.format(what="clipping", why="it was written before trainings noted that")
    for term in terms:
        first = min(series(rows, f"{term}/saturation"), default=0)
        if first:
            yield f"The first {first} updates have no numbers of {term}: it said nothing, or an older version wrote them."
    if len(rows) // 3 < FEW:
        yield f"{len(rows)} updates are too few for a trend over a third of them; from {3 * FEW} on there is one."


def series(rows: Rows, name: str) -> dict[int, float]:
    """Update → number, where the log has it."""
    return {i: row[name] for i, row in enumerate(rows) if name in row}


def overall(rows: Rows, term: str, name: str) -> dict[int, float]:
    """Update → mean over the noise levels' bins that the update met."""
    bins = [series(rows, f"{term}/{name}/{place}") for place in BINS]
    met = {i: [points[i] for points in bins if i in points] for i in range(len(rows))}
    return {i: fmean(values) for i, values in met.items() if values}


def mean(points: Mapping[int, float], low: int, high: int) -> float:
    """Over updates [low, high); nan where there is none."""
    inside = [value for i, value in points.items() if low <= i < high]
    return fmean(inside) if inside else math.nan


def trend(points: Mapping[int, float], start: int) -> Trend | None:
    """The least-squares line from update `start` on; None where too few updates have the number."""
    inside = [(i, value) for i, value in points.items() if i >= start]
    if len(inside) < FEW:
        return None
    x, y = np.array(inside, dtype=float).T
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    left = y - y.mean() - slope * centred
    error = math.sqrt(float(left @ left) / (len(x) - 2) / float(centred @ centred))
    first, last = (float(y.mean() + slope * end) for end in (centred[0], centred[-1]))
    return Trend(first, last, slope / max(error, 1e-300))


def table(lines: Sequence[Sequence[str]]) -> str:
    """Columns set right, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)


def _ends(rows: Rows) -> list[tuple[int, int]]:
    """The tenths of a run, [low, high); fewer where it has fewer updates."""
    parts = min(10, len(rows))
    cuts = [len(rows) * i // parts for i in range(parts + 1)] if parts else [0]
    return list(pairwise(cuts))


def _said(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
