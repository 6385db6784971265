"""Tables as data: every cell is computed once, and written as Markdown, HTML and LaTeX."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

BLANK = "–"


@dataclass(frozen=True)
class Cell:
    """`sort` is what a click on the header sorts by; `mark` is "", "best", "tied", "good", "bad" or "flag"."""

    text: str = BLANK
    sort: float | str = ""
    mark: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """`words` columns on the left hold words, the others numbers; `anchors` rows on top give the scale."""

    id: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1
    anchors: int = 0


def number(mean: float, low: float = math.nan, high: float = math.nan, sign: bool = False) -> str:
    """ "0.812 ±0.021": two digits of the half width; "[low, high]" where that is lopsided; the mean where there is none."""
    if math.isnan(mean):
        return BLANK
    half = (high - low) / 2
    if not math.isfinite(half):
        return _round(mean, 3 if abs(mean) < 100 else 1, sign)
    digits = 3 if half < 1e-9 else min(4, max(0, 1 - math.floor(math.log10(float(f"{half:.1e}")))))
    if abs((high + low) / 2 - mean) > 0.05 * half + 1e-12:
        return f"{_round(mean, digits, sign)} [{_round(low, digits)}, {_round(high, digits)}]"
    return f"{_round(mean, digits, sign)} ±{half:.{digits}f}"


def _round(value: float, digits: int, sign: bool = False) -> str:
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    bare = text.lstrip("+-")
    return (bare if not float(bare) else text).replace("-", "−")


def word(text: str, mark: str = "") -> Cell:
    return Cell(text, text, mark)


def counted(seeds: int, prompts: int) -> str:
    """n as it is written: training seeds × prompts, or, of a judge of whole sets, how many sets."""
    return f"{seeds} × {prompts}" if prompts else f"{seeds} sets"


def p_value(p: float) -> Cell:
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", p)


def markdown(table: Table) -> str:
    """A pipe table with padded columns, so that it also reads in a terminal."""
    body = [[_md(cell) for cell in row] for row in table.rows]
    head = [escape(c) for c in table.columns]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    rule = ["-" * w if i < table.words else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    lines = [head, rule, *body]
    return "\n".join(
        "| " + " | ".join(_pad(x, w, i < table.words) for i, (x, w) in enumerate(zip(line, widths, strict=True))) + " |"
        for line in lines
    )


def _pad(text: str, width: int, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)


def escape(text: str) -> str:
    """What GitHub would read as a cell's end, as emphasis or as a tag."""
    return re.sub(r"<(?=[\w/!?])", "&lt;", text.replace("|", "\\|").replace("*", "\\*").replace("\n", " "))


def _md(cell: Cell) -> str:
    text = escape(cell.text)
    return f"**{text}**" if cell.mark == "best" else f"{text} ≈" if cell.mark == "tied" else text
