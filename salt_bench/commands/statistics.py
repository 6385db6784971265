"""`salt-bench power`: what a study can see. `salt-bench tables`: the paper's tables, published and measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salt_bench.commands.output import say
from salt_bench.errors import WrongUse

if TYPE_CHECKING:
    from salt_bench.report.planning import Known
    from salt_bench.report.source import Source

COMPOSITE = "shapes_total"
"""The composite of a study's judges; of judged videos it is their benchmark's Total."""


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(power)
    app.command()(tables)


def power(
    target: Annotated[
        Path | None,
        typer.Argument(metavar="STUDY.py|REPORT", help="A study to be run, or a published one.", show_default=False),
    ] = None,
    effect: Annotated[
        str, typer.Option(help="What is to be seen: judge=0.01 or judge.part=0.01.", show_default="every judge")
    ] = "",
    total: Annotated[float | None, typer.Option(help="What is to be seen of Total, in points.", show_default=False)] = None,
    arm: Annotated[str | None, typer.Option(help="Of this arm alone.", show_default="pooled over all arms")] = None,
    like: Annotated[
        Path | None, typer.Option(help="The published study whose variances count.", show_default="reports/<study>")
    ] = None,
    sd: Annotated[
        list[str] | None,
        typer.Option(help="A standard deviation of one paired difference: seed=, prompt=, seed_prompt=, sample=, noise=."),
    ] = None,
    power: Annotated[float, typer.Option(min=0.05, max=0.99, help="How surely.")] = 0.8,
) -> None:
    """How many training seeds and prompts it takes to see an effect, by the variances of a study that was measured.

    Without --effect: where each judge's variance comes from, and the smallest difference that the study's design detects.
    """
    from salt_bench.report import planning

    name, size = _asked(effect, total)
    known = _given(sd) if sd else _measured(target, like, arm, name)
    if not name and not sd:
        for line in planning.lines(planning.components_table(known, power)):
            say(line)
        return
    one = known[0] if len(known) == 1 else planning.choose(known, name)
    for line in planning.lines(planning.designs_table(one, power, size)):
        say(line)
    say(planning.need(one, size, power) if size else "give --effect judge=size for what it takes to see it")


def _asked(effect: str, total: float | None) -> tuple[str, float | None]:
    """(judge or judge.part, size); ("", None) where nothing is asked."""
    if effect and total is not None:
        raise WrongUse("--effect and --total are two questions: ask one of them")
    if total is not None:
        return f"{COMPOSITE}.total", _positive(total, "--total")
    name, dot, size = effect.partition("=")
    if not effect:
        return "", None
    try:
        return name, _positive(float(size), "--effect") if dot else None
    except ValueError:
        raise WrongUse(f"--effect is judge=size, as in shapes=0.01, got {effect!r}") from None


def _positive(size: float, option: str) -> float:
    if not size > 0:
        raise WrongUse(f"{option} is above 0, the size of what is to be seen, got {size:g}")
    return size


def _given(texts: list[str]) -> list[Known]:
    from salt_bench.report import planning
    from salt_bench.stats.power import spread

    try:
        values = {name: float(size) for name, _, size in (text.partition("=") for text in texts)}
        return [planning.given(values, spread(values))]
    except (TypeError, ValueError):
        names = "seed, prompt, seed_prompt, sample, noise, teacher"
        raise WrongUse(f"--sd is name=size, at least 0, with a name of {names}; got {', '.join(texts)}") from None


def _measured(target: Path | None, like: Path | None, arm: str | None, name: str) -> list[Known]:
    from salt_bench.report import planning, scores_page

    folder = like or _folder(target)
    if (folder / scores_page.SUMMARY).is_file():
        _of_total_alone(arm, name)
        return [planning.of_videos(folder)]
    source = _source(folder)
    if arm is not None and arm not in source.arms[1:]:
        raise WrongUse(f"{folder} has no arm {arm!r} beside its baseline; it has {', '.join(source.arms[1:])}")
    judge, _, part = name.partition(".")
    if judge == COMPOSITE:
        return [planning.of_composites(source, part or "total", arm)]
    return planning.of_study(source, arm)


def _of_total_alone(arm: str | None, name: str) -> None:
    """Refuses what judged videos cannot answer: they are of one model, and planned by what is made of all dimensions."""
    if arm is not None:
        raise WrongUse("judged videos have no arms: leave --arm out")
    if name not in ("", "total", f"{COMPOSITE}.total"):
        raise WrongUse(f"judged videos are planned by their Total: give --total, or no question, got --effect {name}")


def _folder(target: Path | None) -> Path:
    """The published study that a file or a folder stands for."""
    if target is None:
        raise WrongUse("name a study or a published one, or give --sd: something must say how much the numbers vary")
    if target.suffix != ".py":
        return target
    from salt_bench.study import load_study

    return Path("reports") / load_study(target).name


def _source(folder: Path) -> Source:
    from salt_bench.report.source import Source

    if not (folder / "scores.jsonl").is_file():
        raise WrongUse(f"{folder} holds no scores.jsonl: nothing was measured yet; give --like REPORT or --sd")
    return Source.read(folder)


def tables(
    names: Annotated[list[str] | None, typer.Argument(metavar="T1 A2 …", help="Which.", show_default="all")] = None,
    out: Annotated[Path | None, typer.Option(help="Write report.md and index.html here, too.", show_default=False)] = None,
    reports: Annotated[Path, typer.Option(help="The published studies.")] = Path("reports"),
) -> None:
    """Show the paper's tables T1 to T3 and A1 to A5: published, re-evaluated by others, measured here."""
    from salt_bench.report import paper, plain

    page = paper.page(names or (), reports)
    say(plain.markdown(page))
    if out:
        plain.write(out, page)
        say(f"written to {out}")
