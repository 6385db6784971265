"""`salt-bench votes`: what people think of a study's clips, on its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from salt_bench.commands.output import say


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(votes)


def votes(
    files: Annotated[list[Path], typer.Argument(metavar="VOTES…", help="Saved by “Vote blind”.", show_default=False)],
    report: Annotated[Path, typer.Option(help="The published study on whose page they were cast.", show_default=False)],
) -> None:
    """Count blind votes on a study's clips, together with those counted before, and show them on its page.

    Votes stay in REPORT/votes.jsonl. Votes on other clips are refused.
    """
    from salt_bench import votes as voting_files
    from salt_bench.report import page, planning, voting
    from salt_bench.report.gallery import Gallery
    from salt_bench.report.source import Source

    source, gallery = Source.read(report), Gallery.read(report / "clips", ())
    voting.admit(report, files, gallery)
    page.render(report)
    table = voting.table(source, gallery)
    for line in planning.lines(table) if table else ("nobody has decided between two arms yet",):
        say(line)
    say(f"counted in {report / voting_files.FILE}, shown in {report / 'index.html'}")
