"""The page of `salt-bench speed`, from the rows and the summary beside it: index.html and report.md."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench import playback, record, results
from salt_bench.errors import UserError
from salt_bench.playback import Watched
from salt_bench.report import plain
from salt_bench.report.cells import BLANK, Cell, Table, number, word
from salt_bench.report.drawing import COLOURS, INK, SOFT, panels, style, svg
from salt_bench.types import SCOPES, Running, Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "speed.json"
_SAID = {
    "denoise": "From noise to the last latent; caption and noise are there before.",
    "denoise+decode": "The same with decoding to frames, piece by piece as latents are finished.",
    "end_to_end": "From the caption's text to frames in the computer's memory.",
}
_RANDOM = (
    "Measured with random weights. Weights do not change speed, so these are the speeds of the published sizes; no video was "
    "looked at, and nothing here says how good one would be."
)


@dataclass(frozen=True)
class Group:
    """The videos of one arm, run one way, in one scope."""

    arm: str
    network: str
    scope: str
    rows: tuple[Score, ...]

    @cached_property
    def videos(self) -> tuple[Watched, ...]:
        return tuple(map(_watched, self.rows))

    def mean(self, part: str) -> float | None:
        """Of a part that every row may have."""
        found = [value for row in self.rows if (value := row.values.get(part)) is not None]
        return statistics.fmean(found) if found else None


@dataclass(frozen=True)
class Speeds:
    """What `salt-bench speed` left in a folder."""

    summary: Mapping[str, Any]
    groups: tuple[Group, ...]

    @classmethod
    def read(cls, folder: Path) -> Speeds:
        """Raises UserError that names what is missing or damaged."""
        try:
            summary = json.loads((folder / FILE).read_text(encoding="utf-8"))
            asked = [(about["arm"], _way(about)) for about in summary["arms"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder} holds no readable {FILE} of salt-bench speed ({error})") from error
        rows = results.read(folder / "scores.jsonl")
        keys = [(arm, network, scope) for scope in SCOPES for arm, network in asked]
        groups = (
            Group(*key, tuple(r for r in rows if (r.arm, r.setting, r.judge) == (*key[:2], f"speed/{key[2]}"))) for key in keys
        )
        return cls(summary, tuple(group for group in groups if group.rows))

    def about(self, group: Group) -> Mapping[str, Any]:
        known = ((a["arm"], _way(a), a) for a in self.summary["arms"])
        return next(about for arm, network, about in known if (arm, network) == (group.arm, group.network))

    def named(self, group: Group) -> str:
        """Short where all arms are the same."""
        several = len({g.arm for g in self.groups}) > 1
        return f"{group.arm}, {group.network}" if several else group.network


def _way(about: Mapping[str, Any]) -> str:
    """How a model was run, in a word."""
    way: Running = record.load(about["running"])
    return way.name


def _watched(row: Score) -> Watched:
    count = sum(part.startswith("end ") for part in row.values)
    found = ([row.values[f"{name} {i:03}"] for i in range(count)] for name in ("end", "frames"))
    ends, frames = ([value for value in column if value is not None] for column in found)
    return Watched(tuple(ends), tuple(int(n) for n in frames))


def render(folder: Path) -> list[Path]:
    """Writes the page into `folder` and returns its files. The same rows give the same bytes. Raises as `Speeds.read`."""
    return plain.write(folder, _page(Speeds.read(folder)))


def _page(speeds: Speeds) -> plain.Page:
    scopes = [scope for scope in SCOPES if any(group.scope == scope for group in speeds.groups)]
    return plain.Page(
        "Speed",
        "How fast is video made, and is it as fast as it is played?",
        tuple(_points(speeds)),
        (*(_table(speeds, scope) for scope in scopes), _subjects(speeds)),
        tuple(_methods(speeds)),
        "How it was measured",
        _RANDOM if any(group.arm.startswith("random:") for group in speeds.groups) else "",
        (_figure(speeds, scopes),),
        json.dumps(speeds.summary, indent=2, sort_keys=True),
    )


def _points(speeds: Speeds) -> Iterator[str]:
    """What the first arm and way reaches, scope by scope."""
    first = speeds.groups[0]
    for group in speeds.groups:
        if (group.arm, group.network) != (first.arm, first.network):
            continue
        found = _summary(speeds, group)
        rate, real = found["rate"], found["real time"]
        assert rate is not None
        assert real is not None
        yield (
            f"{speeds.named(group)}, {group.scope}: {rate:.1f} frames/s, {real:.2f} seconds of video in a second, first frame "
            f"after {found['first']:.3f} s"
        )


def _summary(speeds: Speeds, group: Group) -> dict[str, float | None]:
    about = speeds.about(group)
    return playback.summary(group.videos, about["fps"], about["steady"])


def _table(speeds: Speeds, scope: str) -> Table:
    groups = [group for group in speeds.groups if group.scope == scope]
    columns = (
        "Network",
        "Frames/s",
        "× the first",
        "Steady",
        "First frame, s",
        "Piece p50",
        "p90",
        "p99, s",
        "On time",
        "Stalls, s",
        "Real time",
        "Peak GB",
        *(("TFLOP/s", "Of peak, %") if scope == SCOPES[0] else ()),
        "J/frame",
    )
    rows = tuple(_row(speeds, group, groups[0]) for group in groups)
    caption = (
        f"{_SAID[scope]} Frames per second with the 95% interval of the mean of {len(groups[0].rows)} videos. Steady: once the "
        "memory is full. On time: pieces that a player which starts with the first one finds when it needs them."
    )
    return Table(scope, scope.replace("_", " "), caption, columns, rows, 1)


def _row(speeds: Speeds, group: Group, first: Group) -> tuple[Cell, ...]:
    found = _summary(speeds, group)
    rates = [video.rate for video in group.videos]
    mean = statistics.fmean(rates)
    half = _student(len(rates)) * statistics.stdev(rates) / math.sqrt(len(rates)) if len(rates) > 1 else math.nan
    ratio = mean / statistics.fmean(video.rate for video in first.videos)
    joules, peak = group.mean("joules"), group.mean("peak bytes")
    frames = sum(group.videos[0].frames)
    work = speeds.about(group)["work"] / statistics.median(video.ends[-1] for video in group.videos)
    shares = (_cell(work / 1e12, 1), _cell(100 * work / speeds.summary["matmul"], 1)) if group.scope == SCOPES[0] else ()
    return (
        word(speeds.named(group)),
        Cell(number(mean, mean - half, mean + half), mean),
        _cell(ratio, 2),
        _cell(found["steady rate"], 1),
        *(_cell(found[part], 3) for part in ("first", "p50", "p90", "p99")),
        _cell(found["on time"], 2),
        _cell(found["stalls"], 2),
        _cell(found["real time"], 2),
        _cell(None if peak is None else peak / 1e9, 1),
        *shares,
        _cell(None if joules is None else joules / frames, 2),
    )


def _student(n: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(0.975, n - 1))


def _cell(value: float | None, digits: int) -> Cell:
    return Cell() if value is None else Cell(f"{value:.{digits}f}", value)


def _subjects(speeds: Speeds) -> Table:
    """What was run."""
    columns = ("Arm", "Network", "Width × blocks", "Steps", "NFE", "Chunk", "Memory", "Latent", "Numbers")
    rows = tuple(map(_subject, speeds.summary["arms"]))
    caption = (
        "Batch 1, one video at a time. NFE: evaluations of the network, two for a step under guidance; a causal model takes as "
        "many for each chunk, and as many as for one step to remember it."
    )
    return Table("arms", "What was run", caption, columns, rows, len(columns))


def _subject(about: Mapping[str, Any]) -> tuple[Cell, ...]:
    spec, sampling, network = about["network"], about["sampling"], about["running"]["network"]
    chunks = sampling.get("chunks")
    steps = len(sampling["grid"]) - bool(sampling.get("drop_last"))
    cache = "" if chunks is None or network in ("recompute", "stock") else _cache(chunks["cache"])
    said = (
        about["arm"],
        _way(about),
        f"{spec['width']} × {spec['layers']}",
        str(steps),
        str(steps * (1 if sampling["guidance"] == 1 else 2)),
        BLANK if chunks is None else f"{chunks['size']} latent frames",
        cache or BLANK,
        " × ".join(map(str, about["latent"])),
        about["running"]["dtype"] + (", compiled" if about["running"]["compiled"] else ""),
    )
    return tuple(map(word, said))


def _cache(policy: Mapping[str, Any]) -> str:
    if "window" in policy:
        return f"{policy['window']} latent frames, {policy['sink']} of them sinks"
    return "everything"


def _methods(speeds: Speeds) -> Iterator[str]:
    machine = speeds.summary["machine"]
    gpu = machine.get("gpu", {})
    if gpu:
        yield f"{gpu['name']}, driver {gpu['driver_version']}, SM clock at most {gpu['clocks.max.sm']}, {gpu['power.limit']}."
    yield f"Processor: {machine['processor']}. " + ", ".join(f"{k} {v}" for k, v in machine["versions"].items()) + "."
    yield (
        f"{speeds.summary['warm']} videos before those that count. The largest matrix product reached "
        f"{speeds.summary['matmul'] / 1e12:.3g} TFLOP/s in the same run: the peak that shares refer to. Operations are "
        "those of matrix products and attentions, two per multiply-add."
    )
    yield (
        "A piece counts when the device has finished it, not when it is queued; work is queued at most one piece ahead. Peak: "
        "tensors on a GPU, all of the process on a CPU. Stock: diffusers' pipeline as it comes, all frames at once, at as many "
        "evaluations, a guided step's one after the other where ours are one batch. "
        "Compiled: swift's network, and the decoder of all but stock. Graphs: swift's evaluations, recorded as CUDA graphs and "
        "repeated, their memory in the peak."
    )


def _figure(speeds: Speeds, scopes: Sequence[str]) -> plain.Figure:
    text = "Frames that are finished over time; the dashed line is a player that starts with the first piece"
    with style():
        return plain.Figure("progress", scopes[0], svg(_progress(speeds, scopes)), text)


def _progress(speeds: Speeds, scopes: Sequence[str]) -> Figure:
    figure, grid = panels(1, len(scopes), 3.6 * len(scopes) + 0.6, 3.2)
    for axes, scope in zip(grid[0], scopes, strict=True):
        for at, group in enumerate(g for g in speeds.groups if g.scope == scope):
            video = sorted(group.videos, key=lambda v: v.ends[-1])[len(group.videos) // 2]
            total = [sum(video.frames[: i + 1]) for i in range(len(video.frames))]
            colour = COLOURS[1 + at % (len(COLOURS) - 1)]
            axes.plot([0, *video.ends], [0, *total], "o-", color=colour, markersize=3, lw=1.4, label=speeds.named(group))
            if at == 0:
                fps = speeds.about(group)["fps"]
                axes.plot([video.ends[0], video.ends[0] + total[-1] / fps], [0, total[-1]], "--", color=SOFT, lw=1)
        axes.set_title(scope.replace("_", " "))
        axes.set_xlabel("seconds")
        axes.set_xlim(0)
        axes.set_ylim(0)
    grid[0, 0].set_ylabel("frames", color=INK)
    grid[0, 0].legend(fontsize=7.5)
    return figure
