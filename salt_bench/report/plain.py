"""A page of tables and what is to be said of them, in Markdown and HTML."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from salt_bench import files
from salt_bench.report.cells import Table
from salt_bench.report.filling import fill


@dataclass(frozen=True)
class Page:
    """`question` stands under the title, `points` on top of the tables, `methods` below them."""

    title: str
    question: str
    points: tuple[str, ...]
    tables: tuple[Table, ...]
    methods: tuple[str, ...] = ()


def markdown(page: Page) -> str:
    return fill("plain.md.j2", _contents(page))


def write(folder: Path, page: Page) -> list[Path]:
    """Writes report.md and index.html into `folder` and returns them. The same page gives the same bytes."""
    made = {"report.md": markdown(page), "index.html": fill("plain.html.j2", _contents(page))}
    for name, text in made.items():
        files.write_text(folder / name, text)
    return [folder / name for name in made]


def _contents(page: Page) -> dict[str, object]:
    return {**asdict(page), "tables": page.tables, "gallery": None}
