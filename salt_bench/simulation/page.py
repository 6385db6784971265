"""The page of the simulation: reports/statistics/. A pure function of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from pathlib import Path

from salt_bench.report import plain
from salt_bench.report.cells import Cell, Table, word
from salt_bench.simulation import coverage, rates, table, totals
from salt_bench.simulation.table import Coverage, Rates, Row

NOMINAL, BAD, FALSE_ALARM = 0.95, 0.90, 0.05
ENOUGH = 64
"""Prompts; designs with fewer have a line of their own on top of the page."""
_VARIANCES = {0.0: "no seed variance", 0.1: "small (0.1)", 1.0: "equal (1)"}
_CAPTIONS = {
    coverage.DIFFERENCE: "What every page calls a difference, and every verdict rests on.",
    coverage.MEAN: "What stands in a table of results behind ±. A skewed judge's mean is hard for any interval of this kind: "
    "few prompts rarely show the large values that carry it, the truth lies above. Paired differences lose most of that skew.",
    coverage.RATIO: "Differences on the scale of relative margins.",
    coverage.BETTER: "The P(better) of the pages. Wide by design near 1, where three training seeds do not tell much.",
    coverage.PROMPTS_ONLY: "Not used here: what others report, the training seeds at hand taken for all there are.",
}


def render(folder: Path) -> list[Path]:
    """Writes report.md and index.html beside the table and returns them."""
    return plain.write(folder, page(table.read(folder)))


def page(rows: Sequence[Row]) -> plain.Page:
    covered = [row for row in rows if isinstance(row, Coverage)]
    gated = [row for row in rows if isinstance(row, Rates)]
    names = [name for name in coverage.INTERVALS if any(row.interval == name for row in covered)]
    tables = (*(_intervals(name, covered) for name in names), _totals(covered), *_gates(gated))
    question = (
        "Do 95% intervals hold the truth 95 times in 100, does the gate ring falsely in 5% of checks at most, and what does it "
        "find? The suite's own functions on judges whose truth is known. ▾: below 90%, or a rate above its promise."
    )
    return plain.Page("What the statistics are worth", question, tuple(_points(covered, gated)), tables, _methods(rows))


# ---------------------------------------------------------------------------------------------------------------- points


def _points(covered: Sequence[Coverage], gated: Sequence[Rates]) -> Iterator[str]:
    for name in dict.fromkeys(row.interval for row in covered):
        mine = [row for row in covered if row.interval == name]
        yield f"{name}: {_lowest([r for r in mine if r.prompts >= ENOUGH], 'with 64 prompts and more')}{_few(mine)}."
    for mode in rates.MODES:
        checks = [row for row in gated if row.mode == mode]
        yield from (f"Gate, {mode}: {said(checks)}." for said in (_alarms, _power) if checks)


def _few(rows: Sequence[Coverage]) -> str:
    few = [row for row in rows if row.prompts < ENOUGH]
    return f"; {_lowest(few, 'with 16 prompts')}" if few else ""


def _lowest(rows: Sequence[Coverage], where: str) -> str:
    worst = min(rows, key=lambda row: row.coverage)
    seeds = f"{worst.seeds} × {worst.prompts}" + (f", seed variance {worst.variance:g}" if worst.variance else "")
    return f"lowest coverage {where} {worst.coverage:.1%} ({worst.data}, {seeds})"


def _alarms(rows: Sequence[Rates]) -> str:
    quiet = max((row for row in rows if not row.losers), key=lambda row: row.regression)
    worst = max((row for row in rows if row.losers == row.judges), key=lambda row: row.regression)
    false = max((row for row in rows if row.lost == 1.0), key=lambda row: row.passed)
    return (
        f"false alarms where nothing changed {quiet.regression:.1%} at most, where every judge lost exactly one margin "
        f"{worst.regression:.1%} at most ({worst.data}); false PASS {false.passed:.1%} at most ({false.data})"
    )


def _power(rows: Sequence[Rates]) -> str:
    """For normal judges."""
    parts = []
    for width in rates.WIDTHS:
        mine = [row for row in rows if row.data == "normal" and row.width == width]
        found = {row.lost: row for row in mine if row.losers == 1}
        same = next(row for row in mine if not row.losers)
        saved = f", {1 - same.used:.0%} of prompts saved; saved where 3 are lost {1 - found[3.0].used:.0%}"
        parts.append(
            f"normal judges {width:g} margins wide: losses of 1, 2, 3 margins of one judge found in "
            f"{', '.join(f'{found[x].regression:.0%}' for x in (1.0, 2.0, 3.0))}, PASS where nothing changed in "
            f"{same.passed:.0%}{saved if same.mode == rates.SEQUENTIAL else ''}"
        )
    return "; ".join(parts)


# ---------------------------------------------------------------------------------------------------------------- tables


def _intervals(name: str, rows: Sequence[Coverage]) -> Table:
    found = {(r.data, r.seeds, r.prompts, r.variance): r for r in rows if r.interval == name}
    designs = list(dict.fromkeys(key[:3] for key in found))
    body = tuple((*_design(*at), *(cell for v in _VARIANCES for cell in _covered(found.get((*at, v))))) for at in designs)
    columns = ("Data", "Seeds × prompts", *(head for said in _VARIANCES.values() for head in (said, "width")))
    return Table(name.replace(" ", "-").replace(",", ""), name.capitalize(), _CAPTIONS[name], columns, body, 2)


def _design(data: str, seeds: int, prompts: int) -> tuple[Cell, Cell]:
    return word(data), Cell(f"{seeds} × {prompts}", seeds * 1000 + prompts)


def _covered(row: Coverage | None) -> tuple[Cell, Cell]:
    if row is None:
        return Cell(), Cell()
    hint = f"truth above it in {row.above:.1%}, below it in {1 - row.coverage - row.above:.1%}"
    return _rate(row.coverage, row.coverage < BAD, hint), Cell(f"{row.width:.2f}", row.width)


def _rate(share: float, bad: bool = False, hint: str = "") -> Cell:
    return Cell(f"{share:.1%}" + (" ▾" if bad else ""), share, "bad" if bad else "", hint)


def _totals(rows: Sequence[Coverage]) -> Table:
    names = (totals.TOTAL, totals.TOTALS)
    found = {(r.data, r.prompts, r.interval): r for r in rows if r.interval in names}
    designs = list(dict.fromkeys(key[:2] for key in found))
    body = tuple(
        (
            word(data),
            Cell(str(prompts), prompts),
            *(cell for name in names for cell in _covered(found.get((data, prompts, name)))),
        )
        for data, prompts in designs
    )
    caption = (
        "VBench's arithmetic on sixteen simulated dimensions, all of one kind, with assumed spreads (composites/precision.py): "
        "the full suite (five videos a prompt), lite (every second prompt once), and every eighth prompt once."
    )
    columns = ("Data", "Prompts", names[0].capitalize(), "width", names[1].capitalize(), "width")
    return Table("totals", "Composite Total", caption, columns, body, 1)


_Pick = Callable[[Rates], float]


def _gates(rows: Sequence[Rates]) -> Iterator[Table]:
    for mode in rates.MODES:
        mine = [row for row in rows if row.mode == mode]
        if mine:
            yield _gate(mode, mine)


def _gate(mode: str, rows: Sequence[Rates]) -> Table:
    judges, prompts, seeds = rows[0].judges, rows[0].prompts, rows[0].seeds
    asks: list[tuple[str, tuple[int, float], _Pick, float]] = [
        ("Nothing changed: REGRESSION", (0, 0.0), _regression, FALSE_ALARM),
        ("PASS", (0, 0.0), lambda row: row.passed, 1.0),
        (f"All {judges} lost 1: REGRESSION", (judges, 1.0), _regression, FALSE_ALARM),
        ("One lost 1: PASS", (1, 1.0), lambda row: row.passed, 0.025),
        *((f"One lost {lost:g}: REGRESSION", (1, lost), _regression, 1.0) for lost in (1.0, 2.0, 3.0)),
    ]
    if mode == rates.SEQUENTIAL:
        asks += [
            (f"Prompts used, {said}", at, lambda row: row.used, 1.0)
            for said, at in (("nothing changed", (0, 0.0)), ("one lost 2", (1, 2.0)), ("one lost 3", (1, 3.0)))
        ]
    found = {(r.data, r.width, r.losers, r.lost): r for r in rows}
    places = list(dict.fromkeys(key[:2] for key in found))
    body = tuple(
        (word(data), Cell(f"{width:g}", width), *(_promised(found[data, width, *at], pick, most) for _, at, pick, most in asks))
        for data, width in places
    )
    caption = (
        f"{judges} judges, {seeds} training seed{'s' if seeds > 1 else ''} × {prompts} prompts"
        f"{', looks after ' + ', '.join(map(str, rates.LOOKS)) if mode == rates.SEQUENTIAL else ''}; losses in margins; width: "
        "the standard deviation of a paired difference, in margins."
    )
    return Table(f"gate-{mode.split(',')[-1].strip().replace(' ', '-')}", f"Gate, {mode}", caption,
                 ("Data", "Width", *(head for head, *_ in asks)), body, 1)  # fmt: skip


def _regression(row: Rates) -> float:
    return row.regression


def _promised(row: Rates, pick: _Pick, most: float) -> Cell:
    """A rate, marked where it is above what is promised by more than three Monte-Carlo errors."""
    rate, error = pick(row), sqrt(most * (1 - most) / row.repetitions)
    return _rate(rate, rate > most + 3 * error)


# --------------------------------------------------------------------------------------------------------------- methods


def _methods(rows: Sequence[Row]) -> tuple[str, ...]:
    counts = {kind: next((r.repetitions for r in rows if _is(r, kind)), 0) for kind in ("intervals", "totals", "gate")}
    errors = {kind: sqrt(NOMINAL * (1 - NOMINAL) / max(n, 1)) for kind, n in counts.items()}
    said = ", ".join(f"{kind} {n:,} (a rate of 95% is sure to ±{1.96 * errors[kind]:.1%})" for kind, n in counts.items())
    return (f"Repetitions: {said}.", _DATA, _GATED, _STAYS)


_DATA = """\
Intervals: two arms share their prompts (variance 1); every arm adds a prompt effect of its own (0.15), a residual (0.5) and a \
training seed's effect; seed variance is said of the difference, as a multiple of its residual. Among the 588 comparisons of \
this project's studies it is below 0.2 in 81% and below 2 in 99%. One training seed is asked about its own checkpoint. normal: \
the sum itself; heavy: sums of Student's t with 3 degrees of freedom; skewed: its exponential, log-normal with skewness 6; \
binary: right in 80% of clips. Width: mean width over that of an interval that knows its standard error."""
_GATED = f"""\
Gate: losses, levels and decisions are those of salt-bench check; judges are independent, which is hardest on its promise. \
binary: a clip is right (worth three widths) or wrong; few lose much, few gain much: the losses are log-normal, with skewness \
6 on either side. With three training seeds the seed's variance is {rates.SEED_SHARE:g} of the residual's, save of binary \
judges, which have none: three seeds that differ at all decide little, whatever the number of prompts."""
_STAYS = """\
What is bad and stays: the mean of a skewed or binary judge at few prompts; and the gate where every judge lost exactly its \
margin while a few prompts gain much, since a t-test then believes in the loss too early; where nothing changed, that costs \
nothing. Corrections by the sample's skewness (Johnson, JASA 73, 1978) rest on a third moment that so few prompts do not \
tell. So differences and ratios carry the verdicts, not levels, and so skewed a judge needs more prompts."""


def _is(row: Row, kind: str) -> bool:
    if isinstance(row, Rates):
        return kind == "gate"
    return kind == ("totals" if row.interval in (totals.TOTAL, totals.TOTALS) else "intervals")
