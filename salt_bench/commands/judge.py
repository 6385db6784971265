"""`salt-bench judge`: a folder of videos in, VBench's numbers out."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salt_bench.commands.choices import INTERRUPTED, UNJUDGED, WEIGHTS, Mode, Suite, listed
from salt_bench.commands.output import say
from salt_bench.errors import WrongUse
from salt_bench.prompts.base import Size

if TYPE_CHECKING:
    from salt_bench.judges.vbench.engine import Done, Engine
    from salt_bench.judges.vbench.jobs import Plan
    from salt_bench.prompts.base import Suite as Prompts


class Encoding(StrEnum):
    """How a clip of a long video is encoded again; as `recoding.ENCODINGS`, which a command line need not import."""

    none = "none"
    crf23 = "crf23"
    pyav13 = "pyav13"


class Precision(StrEnum):
    """Of CLIP; all else is fp32 always."""

    fp32 = "fp32"
    fp16 = "fp16"


def judge(
    videos: Annotated[Path, typer.Argument(help="A folder of videos, or one video.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Write scores.jsonl and summary.json here.", show_default=False)],
    suite: Annotated[Suite, typer.Option(help="Whose judges.")] = Suite.vbench,
    mode: Annotated[
        Mode, typer.Option(help="standard: the suite's own videos; custom: all in every dimension.")
    ] = Mode.standard,
    size: Annotated[Size, typer.Option(help="standard: how much of the suite is asked.")] = Size.full,
    dimensions: Annotated[
        str, typer.Option(help="Names with commas between, or all.", show_default="all but non-commercial")
    ] = "",
    weights: Annotated[Path, typer.Option(help="Folder of weights in VBench's own layout.")] = WEIGHTS,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, one thread each.")] = 1,
    prompts: Annotated[Path | None, typer.Option(help="JSON {relative path: prompt}.", show_default="file names")] = None,
    precision: Annotated[Precision, typer.Option(help="Of CLIP; official on CUDA: fp16.")] = Precision.fp32,
    static_filter: Annotated[
        bool, typer.Option("--static-filter", help="Flickering: the first 5 static of 25 samples.")
    ] = False,
    images: Annotated[Path | None, typer.Option(help="vbench_i2v: folder of input images.", show_default="none")] = None,
    ratio: Annotated[str, typer.Option(help="vbench_i2v: which of its crops, e.g. 16-9.", show_default="none")] = "",
    reencode: Annotated[Encoding, typer.Option(help="vbench_long: encode clips anew, as an old VBench did.")] = Encoding.none,
) -> None:
    """Judge VIDEOS by VBench's dimensions. Stop it at any time: the same command goes on."""
    from salt_bench.judges.vbench import dimensions as known
    from salt_bench.judges.vbench.base import Setup

    asked = listed(dimensions)
    names = known.every(suite) if asked == ["all"] else asked or known.usual(suite)
    known.check(names, suite)
    if static_filter and (mode is Mode.custom or "temporal_flickering" not in names or suite is not Suite.vbench):
        raise WrongUse(
            "--static-filter chooses among a prompt's samples: it needs --suite vbench, --mode standard and temporal_flickering"
        )
    if prompts and mode is Mode.standard:
        raise WrongUse("--prompts is for --mode custom; in standard mode the prompts are the suite's")
    if size is not Size.full and mode is Mode.custom:
        raise WrongUse("--size is for --mode standard: in custom mode all videos are judged")
    if (images or ratio) and suite is not Suite.vbench_i2v:
        raise WrongUse("--images and --ratio are for --suite vbench_i2v")
    if reencode is not Encoding.none and suite is not Suite.vbench_long:
        raise WrongUse("--reencode is for the clips of --suite vbench_long")
    names = sorted(dict.fromkeys(names), key=known.order)
    setup = Setup(weights.expanduser(), _device(device), precision.value)
    source = _Source(suite, mode, size, setup.weights, prompts, images, ratio, reencode)
    plan = _plan(videos, source, names, static_filter)
    _warn(plan)
    asked = [*names, "static_filter"] if static_filter else names
    engine = _engine(setup, asked, out)
    try:
        done = _finished(engine, plan, jobs)
    except KeyboardInterrupt:
        say("\nstopped; nothing finished is lost: the same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    _write(out, plan, done, _protocol(engine, source, asked, static_filter), static_filter)


def _device(name: str) -> str:
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise WrongUse(f"--device is cpu or cuda, got {name!r}")
    return name if name == "cpu" else _gpu(name)


def _gpu(name: str) -> str:
    import torch

    if not torch.cuda.is_available():
        raise WrongUse(f"--device {name} needs a GPU that torch can use, and there is none: use --device cpu")
    return name


@dataclass(frozen=True)
class _Source:
    """Where what belongs to the videos comes from: their prompts, their input images, their clips."""

    suite: Suite
    mode: Mode
    size: Size
    weights: Path
    prompts: Path | None
    images: Path | None
    ratio: str
    reencode: Encoding


def _plan(videos: Path, source: _Source, names: Sequence[str], static_filter: bool) -> Plan:
    from salt_bench.judges.vbench import cutting, jobs, official

    standard = source.mode is Mode.standard
    asked = official.suite(source.weights, source.suite, source.size) if standard else None
    prompts = jobs.read_prompts(source.prompts) if source.prompts else {}
    plan = jobs.standard(videos, names, asked, static_filter) if asked else jobs.custom(videos, names, prompts)
    if source.suite is Suite.vbench_i2v:
        return _illustrated(plan, source, asked, prompts, needed="i2v_subject" in names)
    return cutting.cut(plan, asked, source.reencode.value) if source.suite is Suite.vbench_long else plan


def _warn(plan: Plan) -> None:
    """What is missing, before hours are spent on the rest."""
    lacking = Counter(one["dimension"] for one in plan.missing)
    for name, count in lacking.items():
        print(f"{name}: {count} videos are missing; `salt-bench missing` lists them", file=sys.stderr, flush=True)


def _illustrated(plan: Plan, source: _Source, asked: Prompts | None, prompts: Mapping[str, Any], needed: bool) -> Plan:
    """The plan with its input images; WrongUse where they are needed and nothing says where any of them is."""
    from salt_bench.judges.vbench import images

    folder = images.place(source.images, source.ratio) if source.images else None
    found = images.of_suite(asked, folder) if asked and folder else images.of_prompts(prompts, source.prompts, folder)
    if needed and not folder and not found.named:
        raise WrongUse("i2v_subject compares a video with its input image: give their folder by --images")
    return images.illustrated(plan, found)


def _engine(setup: Any, names: Sequence[str], out: Path) -> Engine:
    from salt_bench.judges.vbench import dimensions, store, weights
    from salt_bench.judges.vbench.engine import Engine

    needed = sorted({name for kind in dimensions.passes(names) for name in kind.weights})
    weights.need(setup.weights, needed)
    paths = {name: weights.locate(setup.weights, name) for name in needed}
    folder = out / "cache"
    return Engine(setup, store.Store(folder, store.weight_digests(folder, paths), setup))


def _finished(engine: Engine, plan: Plan, workers: int) -> dict[str, Done]:
    """Every job done, by its name; a bar shows how far it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from salt_bench.judges.vbench.crew import judge_all

    console, done = Console(stderr=True), {}
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(plan.jobs))
        for one in judge_all(engine, plan.jobs, workers):
            done[one.job.name] = one
            bar.update(task, advance=1, description=one.job.name)
            if not console.is_terminal:
                note = (
                    f"[{len(done)}/{len(plan.jobs)}] {one.job.name}: {one.seconds.get('all', 0):.1f} s, {one.decodes} decodes"
                )
                console.print(note, markup=False, highlight=False, soft_wrap=True)
    return done


def _protocol(engine: Engine, source: _Source, names: Sequence[str], static_filter: bool) -> dict[str, Any]:
    """All that the numbers depend on besides the videos."""
    from importlib import metadata

    from salt_bench.judges.vbench import random_weights

    setup = engine.setup
    return {
        "suite": source.suite.value,
        "mode": source.mode.value,
        **({"size": source.size.value} if source.mode is Mode.standard else {}),
        **_clips(source),
        "dimensions": list(names),
        "frames": "PyAV, rgb24, one decode; deeper video brought to 8 bit, rotation applied",
        "device": setup.device.split(":")[0],
        "precision": {"clip": setup.precision, "else": "fp32"},
        "static_filter": static_filter,
        "means": "one process",
        "weights": dict(sorted(engine.store.weights.items())),
        "random_weights": random_weights.mark(setup.weights),
        "versions": {
            name: metadata.version(name) for name in ("av", "numpy", "open_clip_torch", "pillow", "torch", "torchvision")
        },
    }


def _clips(source: _Source) -> dict[str, Any]:
    """The protocol of a long video's clips."""
    if source.suite is not Suite.vbench_long:
        return {}
    return {
        "clips": "2 s; 10 s where the prompt serves human_action, temporal_style or overall_consistency; custom: 2 s",
        "reencode": source.reencode.value,
        "slow_fast": {"in clips": 1.0, "between clips": 0.0},
    }


def _write(out: Path, plan: Plan, done: Mapping[str, Done], protocol: dict[str, Any], static_filter: bool) -> None:
    """Both files, in the order of the videos' names, and a word on what is not in them."""
    from salt_bench import files
    from salt_bench.composites import summary
    from salt_bench.composites.known import SCHEMES
    from salt_bench.judges.vbench import dimensions, flickering_filter
    from salt_bench.report import scores_page

    rows = [asdict(row) for job in plan.jobs for row in done[job.name].rows]
    if static_filter:
        rows = flickering_filter.applied(rows)
    rows.sort(key=lambda row: (dimensions.order(row["judge"].removeprefix("vbench/")), row["video"]))
    files.write_text(out / "scores.jsonl", "".join(json.dumps(row, sort_keys=True, ensure_ascii=False) + "\n" for row in rows))
    found = summary.recorded(SCHEMES[protocol["suite"]], rows, protocol)
    found["missing"] += [f"{one['dimension']}: {one['video']}" for one in plan.missing]
    files.write_text(out / "summary.json", json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    timings = [{"video": one.job.name, "decodes": one.decodes, "seconds": dict(one.seconds)} for one in done.values()]
    files.write_text(out / "timings.jsonl", "".join(json.dumps(line) + "\n" for line in timings))
    scores_page.render(out)
    for line in _report(out, plan, rows, found):
        say(line)
    if plan.missing or any(row["value"] is None for row in rows):
        raise typer.Exit(UNJUDGED)


def _report(out: Path, plan: Plan, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Iterator[str]:
    for name, score in found["dimensions"].items():
        yield f"{name:24} {'not judged' if score is None else format(score, '.6f')}"
    unjudged = [row for row in rows if row["value"] is None]
    if unjudged:
        first = unjudged[0]
        which = f"{first['video']!r} by {first['judge']}"
        yield f"{len(unjudged)} rows could not be judged, the first, {which}, because: {first['note']}"
    if plan.missing:
        first = plan.missing[0]
        yield f"{len(plan.missing)} videos are missing, the first is {first['video']!r} for {first['dimension']}"
    if plan.unused:
        yield f"{len(plan.unused)} files were not asked for, the first is {plan.unused[0]!r}"
    yield f"scores: {out / 'scores.jsonl'}, summary: {out / 'summary.json'}, page: {out / 'index.html'}"


def register(app: typer.Typer) -> None:
    """Puts the command into the command line."""
    app.command()(judge)
