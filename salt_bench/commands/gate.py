"""`salt-bench check`: a candidate against a baseline, with an exit code. `salt-bench compare`: arms side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.commands.choices import listed
from salt_bench.commands.output import say
from salt_bench.commands.progress import progress
from salt_bench.errors import WrongUse

if TYPE_CHECKING:
    from salt_bench.gate.agenda import Ask
    from salt_bench.gate.stored import Stored
    from salt_bench.gate.verdict import Report

_SIDE = (
    "A checkpoint's folder, a folder of videos, a saved baseline, a published study (FOLDER::ARM::SETTING), released:NAME or "
    "diffusers:PIPELINE."
)
Judges = Annotated[
    str, typer.Option(help="Names with commas between, judge or judge.part.", show_default="all that have a margin")
]
Prompts = Annotated[
    int | None, typer.Option(min=1, help="How many prompts.", show_default="the baseline's, or 256 of its world")
]
Captions = Annotated[
    Path | None,
    typer.Option(help="Ask these, one per line, of arms that can be asked anything.", show_default="a world's, or videos'"),
]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", help="Sample seed; may be given often.", show_default="the baseline's")
]
Runs = Annotated[Path, typer.Option(help="Work folder of checkpoints and codecs.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(check)
    app.command()(compare)


def check(
    candidate: Annotated[str, typer.Argument(help=_SIDE, show_default=False)],
    baseline: Annotated[str | None, typer.Option(help="What it is held against; the same kinds.", show_default=False)] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            help="The smallest loss that matters: judge=0.01, judge.part=0.01, judge=5%.", show_default="the judges' own"
        ),
    ] = None,
    judges: Judges = "",
    prompts: Prompts = None,
    captions: Captions = None,
    seed: Seeds = None,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="Look batch by batch; stop as soon as it is certain.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, help="Prompts between two looks of --sequential.")] = 32,
    save: Annotated[Path | None, typer.Option(help="Keep the candidate's scores here, a baseline for later.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write Markdown for a pull request here.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Print annotations for GitHub Actions.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Is CANDIDATE worse than the baseline? PASS 0, REGRESSION 1, INCONCLUSIVE 3, INCOMPARABLE 4, ERROR 5.

    Differences are paired by prompt and sample seed. REGRESSION has at most 5% false alarms over all judges together.
    """
    from salt_bench.gate.agenda import Ask

    ask = Ask(tuple(listed(judges)), tuple(margin or ()), prompts, tuple(seed or ()), sequential, batch, runs, captions)
    if baseline is None:
        _save_only(candidate, save, ask)
        return
    if save and sequential:
        raise WrongUse("--save keeps all prompts, and --sequential may stop before: leave one of them out")
    from salt_bench.gate.check import check as checked

    with progress() as log:
        found = checked(candidate, baseline, ask, log)
    _write(found.report, report, junit, github)
    if save and found.candidate:
        _save(save, found.candidate)
    raise typer.Exit(found.report.verdict.code)


def _save_only(candidate: str, save: Path | None, ask: Ask) -> None:
    """The first baseline: there is nothing yet to hold it against."""
    from salt_bench.gate.check import measure

    if save is None:
        raise WrongUse("--baseline is missing: name what CANDIDATE is held against, or --save it to be a baseline")
    with progress() as log:
        _save(save, measure(candidate, ask, log))


def _save(folder: Path, side: Stored) -> None:
    from salt_bench.gate.stored import save

    save(folder, side)
    say(f"saved {len(side.prompts)} prompts in {folder}")


def _write(found: Report, report: Path | None, junit: Path | None, github: bool) -> None:
    from salt_bench import files
    from salt_bench.gate import formats

    if report:
        files.write_text(report, formats.markdown(found))
    if junit:
        files.write_text(junit, formats.junit(found))
    say(formats.text(found))
    for line in formats.github(found) if github else ():
        say(line)


def compare(
    arms: Annotated[list[str], typer.Argument(metavar="A B …", help=_SIDE, show_default=False)],
    judges: Judges = "",
    prompts: Prompts = None,
    captions: Captions = None,
    seed: Seeds = None,
    runs: Runs = Path("runs"),
) -> None:
    """Show arms side by side: means with 95% intervals, and paired differences to the first. No verdict: exit code 0."""
    from salt_bench.gate.agenda import Ask
    from salt_bench.gate.compare import compare as compared

    with progress() as log:
        found = compared(arms, Ask(tuple(listed(judges)), (), prompts, tuple(seed or ()), runs=runs, captions=captions), log)
    say(found.text())
