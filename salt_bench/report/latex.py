"""A table for a paper: booktabs, and nothing else, inside any article."""

from __future__ import annotations

import re
import unicodedata

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
}
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)")
_NAMES = {"LAMDA": "lambda", "OMICRON": "o"}
_UPRIGHT = {"Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"}


def latex(table: Table) -> str:
    """A `table` environment whose notes are its caption; rows of anchors stand above a rule."""
    body = [_line([_cell(c) for c in row]) for row in table.rows]
    if table.anchors:
        body.insert(table.anchors, r"\midrule")
    spec = "l" * table.words + "r" * (len(table.columns) - table.words)
    top = [r"% needs \usepackage{booktabs}", r"\begin{table}", r"\centering", r"\footnotesize"]
    head = [rf"\caption{{{escape(table.caption)}}}", rf"\begin{{tabular}}{{{spec}}}", r"\toprule"]
    columns = [_line([escape(c) for c in table.columns]), r"\midrule"]
    return "\n".join([*top, *head, *columns, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


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
