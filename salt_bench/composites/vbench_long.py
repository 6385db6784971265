"""VBench-Long's arithmetic: how a long video is cut into clips, and how their scores become its score. Its Total is VBench's.

For videos of 5 s and more. Every dimension is judged on the clips, and a dataset score is the mean over all clips; subject and
background consistency may be fused with what the clips' first frames say of each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from salt_bench.composites import vbench_total

SCHEME = replace(vbench_total.SCHEME, name="vbench_long", clips=True)
SECONDS, LONG_SECONDS = 2.0, 10.0
LONG_CLIPS = ("human_action", "temporal_style", "overall_consistency")
"""Their prompts are cut into clips of 10 s, for every dimension that shares them."""
_CLIP = re.compile(r"^(?P<video>.*)_(?P<clip>\d{3}|full)$", re.DOTALL)


def clip_seconds(dimensions: Iterable[str]) -> float:
    """How long the clips of a prompt are, which these dimensions ask for: the longest that one of them wants."""
    return LONG_SECONDS if set(dimensions) & set(LONG_CLIPS) else SECONDS


def clip_length(fps: float, seconds: float) -> int:
    """The frames of a full clip; the rate counts in whole frames."""
    return int(int(fps) * seconds)


def segments(frames: int, fps: float, seconds: float) -> tuple[tuple[int, int], ...]:
    """The clips of a video as [first, end) frames. The last clip reaches back to full length.

    A video shorter than one clip is one clip: (0, frames). ValueError where a clip would have no frame."""
    length = clip_length(fps, seconds)
    if length < 1 or frames < 1:
        raise ValueError(f"a clip has a frame or more, got {frames} frames, {fps} fps and {seconds} s")
    if frames < length:
        return ((0, frames),)
    whole = tuple((start, start + length) for start in range(0, frames - length + 1, length))
    return whole if frames % length == 0 else (*whole, (frames - length, frames))


def clip(stem: str) -> tuple[str, str]:
    """A clip's file name without its extension, as (the video's, the clip's own part): ("a dog-0", "001")."""
    found = _CLIP.match(stem)
    return (found["video"], found["clip"]) if found else (stem, "")


def mapped(score: float, table: Mapping[float, float]) -> float:
    """A clip-to-clip score on the scale of in-clip scores: linear between the table's entries, its ends beyond them."""
    keys = sorted(table)
    if not keys:
        raise ValueError("a mapping table has entries, got none")
    return float(np.interp(score, keys, [table[key] for key in keys]))


def fused(in_clip: float, between: float, share: float = 0.5) -> float:
    """A clip's score with what its video's clips say of each other, `between` (mapped) counting `share`; the clip's alone where
    `between` is 0, which is what a video of a single clip has."""
    return in_clip if between == 0 else (1 - share) * in_clip + share * between


def slow_fast(clips: Sequence[Sequence[float]], between: Sequence[float], table: Mapping[float, float]) -> float:
    """The dataset score of subject or background consistency in "slow-fast" mode: `clips` holds each video's in-clip scores,
    `between` its clip-to-clip score. The mean over clips, not over videos."""
    scores = [fused(one, mapped(b, table) if b else 0.0) for video, b in zip(clips, between, strict=True) for one in video]
    return float(np.mean(scores))


def table(text: str) -> dict[float, float]:
    """A mapping table from lines `key: value`, as in the official YAML files; what is no pair of numbers is refused."""
    pairs = [line.split("#")[0].split(":") for line in text.splitlines() if line.split("#")[0].strip()]
    try:
        return {float(key): float(value) for key, value in pairs}
    except ValueError:
        raise ValueError("a mapping table has lines 'key: value' of two numbers") from None
