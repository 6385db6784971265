"""What was said of single videos, and the dataset means that VBench makes of it, with one process or with several.

A dataset score is `scale` times the weighted mean of the videos' values. Where frames are counted rather than videos, a row's
weight says how many. With several processes VBench counts otherwise (arXiv 2311.17982's code, its distributed branch):

    dimension              one process         several
    subject_consistency    per pair of frames  per video
    spatial_relationship   per frame           per video
    appearance_style       per frame           per video, and of each its last frame alone
    all others             the same: as their weights say
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

SCALE = {"imaging_quality": 0.01}
"""Its videos are scored 0 to 100, the dataset 0 to 1."""
LEFT_OUT = ("color",)
"""Here a video without a value is left out by rule (the object was never seen), not for want of judging."""
FILTERS = ("static_filter",)
"""Judged like a dimension, to choose among videos; no score rests on it."""
PER_VIDEO = ("subject_consistency", "spatial_relationship")
LAST_FRAME = "appearance_style"
FRAMES = "frame_results"
"""The key of a row's `extra` with each frame's value, in order."""


class Aggregate(StrEnum):
    """Which of VBench's two ways to make a dataset's score of its videos."""

    one_process = "one-process"
    multi_gpu = "multi-gpu"


@dataclass(frozen=True)
class Row:
    """What a dimension said of one video, or of one clip of it. `value` None: `note` says why. `weight` None: the file does not
    say how many frames counted. `clip`: the part of the video that this is of, or its file, "" where neither is said."""

    prompt: str
    index: int
    dimension: str
    value: float | None
    weight: float | None = 1.0
    note: str = ""
    clip: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> tuple[str, str, int, str]:
        return (self.dimension, self.prompt, self.index, self.clip)


def of_records(records: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
    """The lines of our `scores.jsonl` that a dimension said."""
    return tuple(of_record(record) for record in records if is_score(record))


def is_score(record: Mapping[str, Any]) -> bool:
    """Whether a line is a VBench dimension's, not another judge's, nor a filter's that chose among its videos."""
    benchmark, _, name = str(record["judge"]).rpartition("/")
    return benchmark.startswith("vbench") and name not in FILTERS


def of_record(record: Mapping[str, Any]) -> Row:
    """A line of our `scores.jsonl`. KeyError, TypeError or ValueError where it is none."""
    value = record["value"]
    return Row(
        prompt=_text(record["prompt"]),
        index=int(record["sample_seed"]),
        dimension=_text(record["judge"]).rpartition("/")[2],
        value=None if value is None else finite(value),
        weight=finite(record.get("weight", 1.0)),
        note=_text(record.get("note", "")),
        clip=str(record.get("clip") or record.get("video") or ""),
        extra=record.get("extra") or {},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is needed, got {value!r}")
    return value


def finite(value: Any) -> float:
    """`value` as a number. ValueError where it is none, not even a bool, or not finite."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"a finite number is needed, got {value!r}")
    return float(value)


def uncountable(rows: Iterable[Row], aggregate: Aggregate) -> str:
    """Why these rows of one dimension cannot be brought together in this way; "" where they can."""
    judged = [row for row in rows if row.value is not None]
    if not judged:
        return "none of its videos has a value"
    name, several = judged[0].dimension, aggregate is Aggregate.multi_gpu
    if several and name == LAST_FRAME and any(not row.extra.get(FRAMES) for row in judged):
        return f"{aggregate} scores each video's last frame, and the rows hold no {FRAMES}"
    if not (several and name in (*PER_VIDEO, LAST_FRAME)) and any(row.weight is None for row in judged):
        return f"{aggregate} weighs videos by their frames, and the file does not count them"
    if not sum(weight(row, aggregate) for row in judged):
        return "all of its videos have weight 0"
    return ""


def weight(row: Row, aggregate: Aggregate) -> float:
    """What the row counts in its dataset's mean; 0 where it has no value. An unknown weight counts as 1."""
    if row.value is None:
        return 0.0
    by_video = aggregate is Aggregate.multi_gpu and row.dimension in (*PER_VIDEO, LAST_FRAME)
    return 1.0 if by_video or row.weight is None else row.weight


def value(row: Row, aggregate: Aggregate) -> float:
    """The row's value on the dataset's scale; 0 where it has none, which counts nothing."""
    last = aggregate is Aggregate.multi_gpu and row.dimension == LAST_FRAME and row.extra.get(FRAMES)
    raw = last[-1] if last else row.value
    return SCALE.get(row.dimension, 1.0) * (raw or 0.0)


@dataclass(frozen=True)
class Sums:
    """All that means and their intervals need, by dimension (D) and prompt (P): `weight` is Σ w, `total` is Σ w·x over the
    prompt's videos, both float (…, D, P) and 0 where a dimension does not ask for a prompt."""

    dimensions: tuple[str, ...]
    prompts: tuple[str, ...]
    weight: np.ndarray
    total: np.ndarray

    def mean(self) -> np.ndarray:
        """(…, D), the dataset scores; NaN where nothing counts."""
        whole = self.weight.sum(-1)
        return self.total.sum(-1) / np.where(whole > 0, whole, np.nan)


def sums(rows: Iterable[Row], aggregate: Aggregate) -> Sums:
    """Adds up the rows; those of prompts that are no two samples must carry one and the same prompt."""
    rows = list(rows)
    dimensions = tuple(dict.fromkeys(row.dimension for row in rows))
    prompts = tuple(sorted({row.prompt for row in rows}))
    place = ({d: i for i, d in enumerate(dimensions)}, {p: i for i, p in enumerate(prompts)})
    whole, total = np.zeros((2, len(dimensions), len(prompts)))
    for row in rows:
        at = place[0][row.dimension], place[1][row.prompt]
        counts = weight(row, aggregate)
        whole[at] += counts
        total[at] += counts * value(row, aggregate)
    return Sums(dimensions, prompts, whole, total)
