"""`salt-bench speed`: how fast models make video, and whether as fast as it is played."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salt_bench.commands.choices import listed
from salt_bench.commands.output import say
from salt_bench.commands.progress import progress
from salt_bench.errors import WrongUse
from salt_bench.types import SCOPES, Prompt, Running, Score

if TYPE_CHECKING:
    from salt_bench.types import Arm, Live

SCORES = "scores.jsonl"


class Dtype(StrEnum):
    """Of weights and products; noise levels and latents are float32 always."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command()(speed)


def speed(
    arms: Annotated[
        list[str],
        typer.Argument(
            metavar="ARM…",
            help="Checkpoints, released:NAME, or random:NAME[@steps=4]: full size, random weights.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Write scores.jsonl, speed.json and the page here.", show_default=False)],
    network: Annotated[
        str,
        typer.Option(help="Ways to run them, with commas: swift (fastest), plain, recompute (no cache), stock (diffusers)."),
    ] = "swift",
    scopes: Annotated[str, typer.Option(help="With commas.")] = ",".join(SCOPES),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Of weights and products.")] = Dtype.float32,
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile what can be: swift and the decoder.")] = False,
    graphs: Annotated[
        bool, typer.Option("--graphs", help="swift once more, its evaluations recorded as CUDA graphs and repeated.")
    ] = False,
    repeats: Annotated[int, typer.Option(min=2, help="Videos that count.")] = 5,
    warm: Annotated[int, typer.Option(min=0, help="Videos before them that do not.")] = 2,
    prompt: Annotated[str, typer.Option(help="What the videos show.", show_default="any")] = "",
    runs: Annotated[Path, typer.Option(help="Work folder with checkpoints.")] = Path("runs"),
) -> None:
    """Make one video after the other and watch the clock: frames per second, time to the first frame, latency of every piece.

    denoise: from noise to the last latent. denoise+decode: to frames on the device. end_to_end: from the caption's text to
    frames in the computer's memory; only here do text encoder and noise count. Nothing else should run meanwhile.
    """
    from salt_bench import files, machine, registry, results
    from salt_bench.report import speed_page

    wanted = _known(listed(scopes))
    ways = _ways([Running(device, dtype.value, name, compiled) for name in listed(network)], graphs)
    found = {word: registry.arm(word) for word in arms}
    rows: list[Score] = []
    about: list[dict[str, Any]] = []
    peak = machine.matmul_peak(device, dtype.value)
    for (word, arm), way in itertools.product(found.items(), ways):
        measured = _measured(Subject(word, arm, way, prompt), wanted, warm, repeats, runs)
        rows += measured.rows
        about.append(measured.about)
        _let_go(device)
        summary = {"machine": machine.described(device), "matmul": peak, "warm": warm, "arms": about}
        results.write(out / SCORES, rows)
        files.write_text(out / speed_page.FILE, json.dumps(summary, indent=2, sort_keys=True) + "\n")
    speed_page.render(out)
    say((out / "report.md").read_text(encoding="utf-8").partition("\n## Protocol")[0])
    say(f"pages: {out / 'index.html'}")


def _ways(ways: list[Running], graphs: bool) -> list[Running]:
    """These ways to run a model; with `graphs`, behind swift the same with graphs.

    Raises WrongUse where swift is not among them."""
    if graphs and not any(way.network == "swift" for way in ways):
        raise WrongUse("--graphs records the evaluations of swift: name it under --network")
    return [one for way in ways for one in ([way, replace(way, graphs=True)] if graphs and way.network == "swift" else [way])]


@dataclass(frozen=True)
class Subject:
    """One model, one way to run it, one thing to make."""

    word: str
    arm: Arm
    way: Running
    text: str


@dataclass(frozen=True)
class Measured:
    """A row per video and scope, and what a model says of itself."""

    rows: tuple[Score, ...]
    about: dict[str, Any]


def _measured(subject: Subject, scopes: Sequence[str], warm: int, repeats: int, runs: Path) -> Measured:
    from salt_bench.probes import realtime

    model = realtime.ready(subject.arm, 0, runs, subject.way)
    prompt = model.prompt(subject.text)
    rows: list[Score] = []
    title, steps, total = f"{subject.word}, {subject.way.name}", itertools.count(), len(scopes) * (warm + repeats)
    with progress() as log:

        def step() -> None:
            log(title, next(steps) / total)

        step()  # nothing is done yet
        for scope in scopes:
            rows += _videos(subject, model, prompt, scope, warm, repeats, step)
    about = {"arm": subject.word, "fps": model.fps, "steady": model.steady, "work": model.work(), **model.notes()}
    return Measured(tuple(rows), about)


def _videos(
    subject: Subject, model: Live, prompt: Prompt, scope: str, warm: int, repeats: int, step: Callable[[], None]
) -> Iterator[Score]:
    """`repeats` rows, each of one video with its own noise."""
    from salt_bench import machine
    from salt_bench.probes import realtime

    for _ in range(warm):
        realtime.one(model, prompt, 0, scope)
        step()
    for number in range(repeats):
        model.peak()
        before = machine.joules(subject.way.device)
        video = realtime.one(model, prompt, number, scope)
        after = machine.joules(subject.way.device)
        step()
        values: dict[str, float | None] = {f"end {i:03}": end for i, end in enumerate(video.ends)}
        values |= {f"frames {i:03}": float(count) for i, count in enumerate(video.frames)}
        values["peak bytes"] = float(model.peak())
        if before is not None and after is not None:
            values["joules"] = after - before
        yield Score(subject.word, subject.way.name, 0, prompt.id, number, f"speed/{scope}", values)


def _let_go(device: str) -> None:
    """Gives back what the last model held, so that the next one's peak is its own."""
    import gc

    gc.collect()
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def _known(scopes: Sequence[str]) -> Sequence[str]:
    for scope in scopes:
        if scope not in SCOPES:
            raise WrongUse(f"a scope is one of {', '.join(SCOPES)}, got {scope!r}")
    return scopes
