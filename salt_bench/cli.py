"""The command `salt-bench`. It says what to do and where; what is studied stands in Python files.

Exit codes: 0 fine · 1 REGRESSION and nothing else · 2 wrong use · 3 INCONCLUSIVE · 4 INCOMPARABLE · 5 any error · 6 done, but
something could not be judged · 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.commands import gate as gate_commands
from salt_bench.commands import judge as judge_commands
from salt_bench.commands import official as official_commands
from salt_bench.commands import sample as sample_commands
from salt_bench.commands import speed as speed_commands
from salt_bench.commands import statistics as statistics_commands
from salt_bench.commands import vbench as vbench_commands
from salt_bench.commands import votes as votes_commands
from salt_bench.commands import weights as weights_commands
from salt_bench.commands.output import say as _say
from salt_bench.errors import UserError, WrongUse

if TYPE_CHECKING:
    from salt_bench.executors.base import Executor, Width
    from salt_bench.study import Outcome, Plan

ERROR, UNJUDGED, INTERRUPTED = 5, 6, 130

app = typer.Typer(
    help="Measure few-step video models: fill a study's table, see its page.",
    epilog="Exit codes: 0 fine, 1 regression, 2 wrong use, 3 inconclusive, 4 incomparable, 5 error, "
    "6 done but something could not be judged, 130 Ctrl-C. SALT_TRACEBACK=1 shows where an error came from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Scale(StrEnum):
    """How big."""

    smoke = "smoke"
    default = "default"
    full = "full"


class Executors(StrEnum):
    """Where the cells are measured."""

    local = "local"
    inline = "inline"
    ray = "ray"
    slurm = "slurm"


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A Python file that defines STUDY.", show_default=False)],
    scale: Annotated[Scale, typer.Option(help="smoke is small and goes to runs/smoke/, never to reports/.")] = Scale.default,
    out: Annotated[Path | None, typer.Option(help="Publish here.", show_default="reports/<study>")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes.", show_default="one per core")] = None,
    executor: Annotated[
        Executors, typer.Option(help="Where: worker processes, one by one in this one, a Ray or a Slurm cluster.")
    ] = Executors.local,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="NAME=VALUE of the executor; a wrong name lists them.", show_default="none"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it costs, and do nothing.")
    ] = False,
) -> None:
    """Train, sample, judge and publish what is missing of a study. Stop it at any time: the same command goes on."""
    from salt_bench import study as studies
    from salt_bench.executors import options as executors

    began = time.perf_counter()
    width = executors.width(executor.value, jobs, option or [])
    plan = studies.make_plan(study, scale.value, processes=width.processes)
    folder = _out_folder(plan, out)
    if dry_run:
        _show_plan(plan, folder, width)
        return
    worker = executors.make(executor.value, jobs, plan.place.work / "logs", option or [])
    try:
        outcome = _fill(plan, worker)
        if outcome.failures:
            raise UserError(_failed(plan, outcome))
        _publish(plan, outcome, folder)
    except KeyboardInterrupt:
        _say("\nstopped; nothing finished is lost: the same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    _summary(plan, outcome, folder, time.perf_counter() - began)
    _exit_on_gaps(folder)


def _out_folder(plan: Plan, out: Path | None) -> Path:
    reports = Path("reports").resolve()
    if plan.scale != Scale.smoke:
        return out or reports / plan.study.name
    if out and reports in (out.resolve(), *out.resolve().parents):
        raise WrongUse(f"smoke scale never publishes into reports/, got --out {out}: give another folder")
    return out or plan.runs / "smoke" / plan.study.name


def _show_plan(plan: Plan, folder: Path, width: Width) -> None:
    from salt_bench import study as studies
    from salt_bench.commands import dry_run

    for line in dry_run.lines(plan, studies.missing(plan, _say), width):
        _say(line)
    _say(f"work in {_near(plan.place.work)}, publish to {_near(folder)}")


def _fill(plan: Plan, executor: Executor) -> Outcome:
    from rich.console import Console

    from salt_bench import study as studies
    from salt_bench import timings
    from salt_bench.progress import Display, Forecast

    tasks = [plan.task(cell) for cell in plan.cells]
    known = timings.longest(timings.read(plan.place.work))
    wanted = studies.missing(plan, _say)
    forecast = Forecast([plan.task(cell) for cell in wanted], executor.workers, plan.study.anchors, known)
    _say(f"{plan.study.name}: {len(wanted)} of {len(tasks)} cells to measure with {executor.workers} workers")
    with Display(forecast, Console(stderr=True)) as display:
        return studies.run(plan, wanted, executor, display)


def _failed(plan: Plan, outcome: Outcome) -> str:
    reasons = "".join(f"\n  {cell}: {reason}" for cell, reason in outcome.failures)
    done = len(plan.cells) - len(outcome.failures)
    logs = _near(plan.place.work / "logs")
    return f"{len(outcome.failures)} cells failed, {done} are done and kept; run again to retry (tracebacks: {logs}){reasons}"


def _publish(plan: Plan, outcome: Outcome, folder: Path) -> None:
    from salt_bench import publish

    began, core = time.perf_counter(), time.process_time()
    changed = publish.publish(plan, outcome, folder, _render)
    outcome.wall["render"], outcome.core["render"] = time.perf_counter() - began, time.process_time() - core
    _say(f"{'published' if changed else 'nothing new:'} {_near(folder)}")


def _render(folder: Path) -> None:
    from salt_bench.report import page, scores_page, speed_page
    from salt_bench.simulation import page as simulation_page
    from salt_bench.simulation import table

    others = {table.FILE: simulation_page.render, scores_page.SUMMARY: scores_page.render, speed_page.FILE: speed_page.render}
    render = next((render for name, render in others.items() if (folder / name).is_file()), page.render)
    render(folder)


def _summary(plan: Plan, outcome: Outcome, folder: Path, seconds: float) -> None:
    """Where the time went, and where everything is."""
    from salt_bench.progress import duration

    total = sum(outcome.core.values()) or 1.0
    _say(f"{outcome.trained} trained, {outcome.reused} reused, {outcome.judged} judged in {duration(seconds)}")
    for stage, core in sorted(outcome.core.items(), key=lambda item: -item[1]):
        _say(f"  {stage:8} {core:9.1f} core-seconds {core / total:6.1%}")
    for name, path in (("page", folder / "index.html"), ("scores", folder / "scores.jsonl"), ("work", plan.place.work)):
        _say(f"  {name:8} {_near(path)}")


def _exit_on_gaps(folder: Path) -> None:
    from salt_bench import results

    gaps = [score for score in results.read(folder / "scores.jsonl") if None in score.values.values()]
    if gaps:
        _say(f"{len(gaps)} rows could not be judged, the first because: {gaps[0].note}")
        raise typer.Exit(UNJUDGED)


@app.command()
def render(folder: Annotated[Path, typer.Argument(help="A published study, or judged scores.", show_default=False)]) -> None:
    """Make the page of a study, or of videos' scores, again from its table."""
    from salt_bench import files

    with files.explained(folder):
        _render(folder)
    _say(f"rendered {_near(folder / 'index.html')}")


@app.command()
def judges(
    arms: Annotated[list[str] | None, typer.Argument(help="Arms to judge beside the truth.", show_default="none")] = None,
    clips: Annotated[int, typer.Option(min=2, help="Test prompts, one clip each.")] = 512,
    runs: Annotated[Path, typer.Option(help="Work folder of the arms.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Publish here.")] = Path("reports/judges"),
) -> None:
    """Try the judges on clips whose answer is known: the truth, the truth damaged in known ways, and ARMS."""
    from salt_bench import judge_table, registry
    from salt_bench.judges.corruptions import CORRUPTIONS
    from salt_bench.samplers.truth import TruthSampler
    from salt_bench.suites.shapes import JUDGES
    from salt_bench.worlds.shapes import ShapesWorld

    prompts = ShapesWorld().prompts("test")[:clips]
    beside = {word: registry.arm(word) for word in arms or []}
    truth = list(TruthSampler(ShapesWorld())(prompts, 0))
    rows = true = judge_table.measure(judge_table.TRUTH, truth, JUDGES)
    for name, arm in beside.items():
        arm.prepare(0, runs, lambda stage, share: None)
        rows = rows + judge_table.measure(name, arm.sampler(0, runs)(prompts, 0), JUDGES, true)
        _say(f"judged {name}")
    for name in CORRUPTIONS:
        rows = rows + judge_table.measure(name, judge_table.damaged(truth, name), JUDGES, true)
        _say(f"judged {name}")
    judge_table.write(out, rows)
    _say(f"published {_near(out)}")


@app.command("list")
def list_() -> None:
    """Show the judges, dimensions, probes, worlds, samplers, sources and ablations that there are.

    The methods are in `salt-train list`."""
    from salt_bench import registry

    for kind, entries in registry.listing(Path.cwd()).items():
        _say(f"{kind}{'' if entries else ': none'}")
        for name, text in entries.items():
            _say(f"  {name:24} {text}".rstrip())


@app.command()
def doctor() -> None:
    """Check this machine: versions, cores, disk, optional packages, weights. Exit code 5 where something is missing."""
    from salt_bench import doctor as doctors

    checks = list(doctors.examine(Path.cwd()))
    for check in checks:
        _say(f"{ {True: 'ok', False: 'MISSING', None: '-'}[check.ok]:8} {check.name:20} {check.detail}")
    if any(check.ok is False for check in checks):
        raise typer.Exit(ERROR)


sample_commands.register(app)
judge_commands.register(app)
weights_commands.register(app)
vbench_commands.register(app)
official_commands.register(app)
gate_commands.register(app)
speed_commands.register(app)
statistics_commands.register(app)
votes_commands.register(app)


def _near(path: Path) -> str:
    """`path` from here where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)


def main() -> None:
    """The entry point: every way to end is one of the exit codes above, uncaught exceptions included."""
    try:
        app()
    except Exception as error:
        if os.environ.get("SALT_TRACEBACK") == "1":
            traceback.print_exc()
        from salt_bench.study import one_line

        print(f"salt-bench: {error if isinstance(error, UserError) else one_line(error)}", file=sys.stderr)
        sys.exit(error.code if isinstance(error, UserError) else ERROR)


if __name__ == "__main__":
    main()
