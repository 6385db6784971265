"""A table for a paper: booktabs and graphicx, and nothing else, inside any article, and never wider than its lines."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from dataclasses import replace

from salt_bench.report.cells import Cell, Table

_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "≈": r"$\approx$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\to$",
    "↔": r"$\leftrightarrow$",
    "⚠": "",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    "’": "'",
    "\u00a0": "~",
}
_TOGETHER = re.compile(r" (?=[↑↓]|[^()]*\))")
"""Spaces of a header that no line ends at: before an arrow, and inside of brackets."""
_HEADER = 13  # letters: about as wide as a number with its interval
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)")
_NAMES = {"LAMDA": "lambda", "OMICRON": "o"}
_UPRIGHT = {"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"}


def latex(table: Table) -> str:
    """A `table` environment whose notes are its caption; rows of anchors stand above a rule, empty columns are left out.

    What is wider than the line is made smaller: a column of a two-column paper and a whole page take the same file."""
    kept = _kept(table)
    body = [_line([_cell(c) for c in row]) for row in kept.rows]
    if kept.anchors:
        body.insert(kept.anchors, r"\midrule")
    words, numbers = kept.columns[: kept.words], kept.columns[kept.words :]
    needs = r"% needs \usepackage{booktabs,graphicx}"
    top = [needs, r"\begin{table}", r"\centering", r"\footnotesize", r"\setlength{\tabcolsep}{4pt}"]
    spec = "l" * len(words) + "r" * len(numbers)
    head = [rf"\caption{{{escape(kept.caption)}}}", r"\smallskip", rf"\sbox0{{\begin{{tabular}}{{{spec}}}", r"\toprule"]
    columns = [_line([*map(escape, words), *map(_header, numbers)]), r"\midrule"]
    fitted = r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi"
    return "\n".join([*top, *head, *columns, *body, r"\bottomrule", r"\end{tabular}}%", fitted, r"\end{table}"]) + "\n"


def _kept(table: Table) -> Table:
    """Without the columns that say nothing in any row."""
    said = [at for at in range(len(table.columns)) if at < table.words or any(row[at].text for row in table.rows)]
    rows = tuple(tuple(row[at] for at in said) for row in table.rows)
    return replace(table, columns=tuple(table.columns[at] for at in said), rows=rows)


def _header(text: str) -> str:
    """Over as many lines as it takes."""
    lines = [escape(line) for line in textwrap.wrap(_TOGETHER.sub("\u00a0", text), _HEADER, break_long_words=False)]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) == 1 else rf"\begin{{tabular}}[b]{{@{{}}r@{{}}}}{stacked}\end{{tabular}}"


def escape(text: str) -> str:
    """`text` for LaTeX: its special characters, Greek and arrows; what has no Latin form becomes "?"."""
    return "".join(_letter(c) for c in text)


def _letter(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if match := _GREEK.fullmatch(unicodedata.name(c, "")):
        name = _NAMES.get(match[2], match[2].lower())
        capital = name.capitalize()
        return f"$\\{name}$" if match[1] == "SMALL" and name != "o" else f"$\\{capital}$" if capital in _UPRIGHT else capital[0]
    return c if c.isascii() or unicodedata.name(c, "").startswith("LATIN ") else "?"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = escape(cell.text).strip()
    return rf"\textbf{{{text}}}" if cell.mark == "best" else rf"{text} $\approx$" if cell.mark == "tied" else text
