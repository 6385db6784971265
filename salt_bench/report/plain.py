"""A page of tables and what is to be said of them, in Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from salt_bench import files
from salt_bench.report.cells import Table
from salt_bench.report.filling import fill, inline


@dataclass(frozen=True)
class Figure:
    """Drawn below the table `under`; `text` says what it shows, for those who cannot see it."""

    name: str
    under: str
    svg: str
    text: str

    @property
    def inline(self) -> str:
        """As it stands in an HTML page."""
        return inline(self.name, self.svg)


@dataclass(frozen=True)
class Page:
    """`question` stands under the title, a `banner` below it, `points` on top of the tables, and under `heading` what is to be
    said at the end, with all that the numbers depend on as JSON."""

    title: str
    question: str
    points: tuple[str, ...]
    tables: tuple[Table, ...]
    methods: tuple[str, ...] = ()
    heading: str = "Methods"
    banner: str = ""
    figures: tuple[Figure, ...] = ()
    protocol: str = ""


def markdown(page: Page) -> str:
    return fill("plain.md.j2", _contents(page))


def write(folder: Path, page: Page) -> list[Path]:
    """Writes report.md, index.html and the figures into `folder` and returns them. The same page gives the same bytes."""
    made = {f"figures/{figure.name}.svg": figure.svg for figure in page.figures}
    made |= {"report.md": markdown(page), "index.html": fill("plain.html.j2", _contents(page))}
    for name, text in made.items():
        files.write_text(folder / name, text)
    return [folder / name for name in made]


def _contents(page: Page) -> dict[str, object]:
    return {**vars(page), "gallery": None}
