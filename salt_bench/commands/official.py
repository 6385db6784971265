"""`salt-bench official`: VBench's own package, in an environment of the user's own, and how far our numbers are from its."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salt_bench.commands.choices import INTERRUPTED, UNJUDGED, Mode, listed
from salt_bench.commands.output import say
from salt_bench.errors import WrongUse

if TYPE_CHECKING:
    from salt_bench.judges.vbench.engine import Row
    from salt_bench.judges.vbench.hatch import Asked, Outcome

_MOST = 20
"""Videos of a dimension that are shown one by one, those with the largest differences."""


def official(
    videos: Annotated[Path, typer.Argument(help="A folder of videos, or one video.", show_default=False)],
    python: Annotated[Path, typer.Option(help="The python of an environment with the package vbench.", show_default=False)],
    dimensions: Annotated[str, typer.Option(help="Names with commas between.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Write scores.jsonl, summary.json and logs here.", show_default=False)],
    mode: Annotated[
        Mode, typer.Option(help="standard: the suite's own videos; custom: all in every dimension.")
    ] = Mode.standard,
    device: Annotated[str, typer.Option(help="cpu or cuda, as that environment knows it.")] = "cpu",
    against: Annotated[
        Path | None, typer.Option(help="Our scores.jsonl: show ours minus official.", show_default="none")
    ] = None,
) -> None:
    """Judge VIDEOS by the official package, one process for each dimension. What is finished is not run again."""
    from salt_bench.judges.vbench import hatch

    names = _names(dimensions)
    if against and not against.is_file():
        raise WrongUse(f"no {against}: --against is the scores.jsonl of `salt-bench judge`")
    asked = hatch.Asked(videos, mode.value, device, hatch.environment(python))
    asked.jobs()  # or a folder without videos would be found out by the package
    try:
        outcomes = list(_judged(asked, names, out))
    except KeyboardInterrupt:
        say("\nstopped; finished dimensions are kept: the same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    _write(out, asked, outcomes)
    for line in _differences(out / "scores.jsonl", against) if against else ():
        say(line)
    if any(outcome.why for outcome in outcomes):
        raise typer.Exit(UNJUDGED)


def _names(words: str) -> list[str]:
    from salt_bench.judges.vbench import dimensions

    names = listed(words)
    if not names or set(names) & set(dimensions.BESIDE):
        raise WrongUse(f"--dimensions names some of {', '.join(dimensions.OFFICIAL)}, got {words!r}")
    dimensions.check(names)
    return sorted(dict.fromkeys(names), key=dimensions.order)


def _judged(asked: Asked, names: Sequence[str], out: Path) -> Iterator[Outcome]:
    from salt_bench.judges.vbench import hatch

    for name in names:
        folder = out / "official" / name
        say(f"{name}: vbench {asked.environment.vbench}, on {asked.device}; what it says: {folder}")
        outcome = hatch.judge(asked, name, folder)
        score = outcome.why or f"{outcome.entry[0]:.6f}{', kept from before' if outcome.kept else ''}"
        say(f"{name}: {score}")
        yield outcome


def _write(out: Path, asked: Asked, outcomes: Sequence[Outcome]) -> None:
    """Both files, as `salt-bench judge` leaves them; the summary has the scores that the package states."""
    from salt_bench import files
    from salt_bench.judges.vbench import hatch

    rows = [row for outcome in outcomes for row in sorted(hatch.rows(asked, outcome), key=lambda row: row.video)]
    lines = [json.dumps(asdict(row), sort_keys=True, ensure_ascii=False) + "\n" for row in rows]
    files.write_text(out / "scores.jsonl", "".join(lines))
    found = _summary(asked, outcomes, rows)
    files.write_text(out / "summary.json", json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    for remark in found["remarks"]:
        say(f"look at this: {remark}")
    say(f"scores: {out / 'scores.jsonl'}, summary: {out / 'summary.json'}")


def _summary(asked: Asked, outcomes: Sequence[Outcome], rows: Sequence[Row]) -> dict[str, Any]:
    from salt_bench.composites import vbench_total
    from salt_bench.composites.rows import of_records
    from salt_bench.composites.summary import Measured, summarise

    stated = {name: raw for one in outcomes if one.measured for name, raw in one.measured.stated.items()}
    measured = Measured(of_records(asdict(row) for row in rows), stated, asked.protocol())
    found = summarise(vbench_total.SCHEME, measured).record()
    found["missing_because"] |= {outcome.dimension: outcome.why for outcome in outcomes if outcome.why}
    return found


def _differences(official: Path, against: Path) -> Iterator[str]:
    """Ours minus official, by dimension and video, the largest first; imaging_quality's are of 100."""
    theirs, ours = _values(official), _values(against)
    both = sorted(set(theirs) & set(ours), key=lambda key: (key[0], -abs(ours[key] - theirs[key]), key[1]))
    if not both:
        yield f"nothing to compare: no video of a dimension has a value in both {official} and {against}"
    for name in dict.fromkeys(dimension for dimension, _ in both):
        videos = [video for dimension, video in both if dimension == name]
        gaps = {video: ours[name, video] - theirs[name, video] for video in videos}
        mean, largest = sum(gaps.values()) / len(gaps), abs(gaps[videos[0]])
        yield f"\n{name}: ours minus official, {len(videos)} videos: mean {mean:+.2e}, largest {largest:.2e}"
        yield f"{'ours':>12}{'official':>12}{'difference':>12}  video"
        for video in videos[:_MOST]:
            yield f"{ours[name, video]:12.6f}{theirs[name, video]:12.6f}{gaps[video]:+12.2e}  {video}"
        if len(videos) > _MOST:
            yield f"and {len(videos) - _MOST} more, all nearer"


def _values(path: Path) -> Mapping[tuple[str, str], float]:
    """(dimension, video) → value, of the rows that have one."""
    from salt_bench.composites import reading

    rows = reading.own(path).rows if path.stat().st_size else ()
    return {(row.dimension, row.clip): row.value for row in rows if row.value is not None}


def register(app: typer.Typer) -> None:
    """Puts the command into the command line."""
    app.command()(official)
