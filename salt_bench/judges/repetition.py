"""Repetition and freezing: does a clip that should move go on moving, and does it show anything new? No weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.reading import caption
from salt_bench.types import ArrayClip, Clip, Output
from salt_bench.worlds.shapes import ShapesWorld

UNSEEN = 10.0
"""Grey levels: two frames are alike where 99 of 100 pixels differ by no more in any channel. Through this world's codec, what
stands still differs by 3 to 12, what moves by some 100."""
STRETCH = 2.0
"""Seconds of a stretch that is looked for again: in this world it holds a turn, so that going the same way twice is no copy."""
LIKENESS = 0.2
"""A copy differs from what it copies by no more than this share of what it changes from frame to frame."""
SIDE = 48
"""Frames whose shorter side is longer are made this small first."""


@dataclass(frozen=True)
class Repetition(Judge):
    """`frozen`: the share of frames, from the third on, that are like both frames before them (99 of 100 pixels within 10 grey
    levels), 0 to 1. Both: a codec that joins frames in pairs makes two alike, and what turns back is where it was.

    `repeated`: of the stretches of two seconds (L frames) that start at L/2 or later, the share that moves and is a copy, 0 to
    1. A stretch moves where fewer than half of its frames are like both before; it is a copy where for some lag l ≥
    L/2 the root mean square of I_t - I_(t-l) over it is at most a fifth of that of I_t - I_(t-1): the same things at the same
    places in the same order.

    A caption that says "still" has no such row: there, both are as they should be. Refused: a caption that changes, and a clip
    of less than a stretch and a half.
    """

    name: ClassVar[str] = "repetition"
    # the margins: one pair of frames in fifty, one stretch in twenty
    outputs: ClassVar[Mapping[str, Output]] = {
        "frozen": Output("share of frames", -1, 0.02, title="Frames that stand still"),
        "repeated": Output("share of stretches", -1, 0.05, title="Stretches that were there before"),
    }
    detects: ClassVar[tuple[str, ...]] = ("freeze", "frozen_tail", "loop")
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "mirror", "reverse", "blur", "hard_cut")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        if caption(clip.prompt).get("motion") == "still":
            return {}
        film, lag = _small(features.pixels), max(2, round(STRETCH * clip.fps / 2))
        if len(film) < 3 * lag:
            raise ValueError(f"a repetition shows over {3 * lag} frames or more, and the clip has {len(film)}")
        alike = unchanged(film)
        moving = _sums(alike, 2 * lag - 2) < lag - 1
        return {"frozen": float(alike.mean()), "repeated": float((moving & copies(film, lag))[lag:].mean())}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "unseen": UNSEEN, "stretch": STRETCH, "likeness": LIKENESS, "side": SIDE}

    @classmethod
    def examples(cls) -> list[Clip]:
        """True clips of four seconds and a half, of things that move."""
        world = ShapesWorld()
        prompts = [p for p in world.prompts("validation") if p.factors["motion"] != "still"][:12]
        return [ArrayClip(p, 0, v, world.fps) for p, v in zip(prompts, world.render(prompts, 0, 36), strict=True)]


def unchanged(film: np.ndarray) -> np.ndarray:
    """Whether each frame of uint8 (T, H, W, C), from the third on, is like both frames before it: bool (T - 2,)."""
    one, two = (_change(film[before : before + len(film) - 2], film[2:]) for before in (1, 0))
    return np.maximum(one, two) <= UNSEEN


def _change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How much the pixel of rank 99 of 100 changes in its worst channel, for each pair of frames: (P,) in grey levels."""
    change = np.abs(after.astype(np.int16) - before).max(-1).reshape(len(after), -1)
    rank = int(0.99 * (change.shape[1] - 1))
    return np.partition(change, rank, axis=1)[:, rank]


def copies(film: np.ndarray, least: int) -> np.ndarray:
    """Whether each stretch of 2·`least` frames of uint8 (T, H, W, C) is a copy of what was shown `least` or more frames before:
    bool (T - 2·least + 1,), stretch t from frame t on."""
    apart, length = _distances(film), 2 * least
    change = _sums(np.diagonal(apart, 1), length - 1) * length / (length - 1)
    found = np.zeros(len(change), bool)
    for lag in range(least, len(change)):
        found[lag:] |= _sums(np.diagonal(apart, lag), length) <= LIKENESS**2 * change[lag:]
    return found


def _distances(film: np.ndarray) -> np.ndarray:
    """The squared distance of every frame to every other, summed over pixels and channels: (T, T)."""
    flat = film.reshape(len(film), -1).astype(np.float64)  # exact: integers below 2⁵³
    square = np.square(flat).sum(1)
    return square[:, None] + square - 2 * flat @ flat.T


def _sums(values: np.ndarray, length: int) -> np.ndarray:
    """The sums of every `length` neighbours: (N,) to (N - length + 1,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    return total[length:] - total[:-length]


def _small(pixels: np.ndarray) -> np.ndarray:
    zoom = SIDE / min(pixels.shape[1:3])
    if zoom >= 1:
        return pixels
    size = (round(pixels.shape[2] * zoom), round(pixels.shape[1] * zoom))
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in np.ascontiguousarray(pixels)])
