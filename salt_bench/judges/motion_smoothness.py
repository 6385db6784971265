"""Motion smoothness: can every odd frame be guessed from its neighbours? VBench's form with a classical interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.motion import PROTOCOL, Motion, motion
from salt_bench.types import Clip, Output

MOVING = 16
"""A pixel moves where one of its three frames differs from another by more than this many of 255 grey levels."""


@dataclass(frozen=True)
class MotionSmoothness(Judge):
    """`score`: 1 - mean |guess - frame| / 255 over the odd frames. `moving`: the same over the pixels that move, which a large
    still scene cannot dilute; 1 where nothing moves.

    The guess warps both even neighbours half-way along DIS flows and averages them (VBench: the network AMT). A static clip
    scores 1: read it beside `dynamic_degree`.
    """

    name: ClassVar[str] = "motion_smoothness"
    # measured on 24 x 24 clips: one pixel of jitter costs .023 of `score` and .075 of `moving`; the margins are a tenth of it
    outputs: ClassVar[Mapping[str, Output]] = {
        "score": Output("1", +1, 0.0025, title="Motion smoothness"),
        "moving": Output("1", +1, 0.0075, title="Motion smoothness, moving pixels"),
    }
    detects: ClassVar[tuple[str, ...]] = ("jitter", "shuffle_frames", "stutter", "hard_cut")
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "mirror")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        seen = motion(features)
        if seen is None:
            return {"score": None, "moving": None}
        left, true, right = (part.astype(np.int16) for part in _triplets(seen.film))
        error = np.abs(_guess(seen).astype(np.int16) - true).mean(-1)
        moves = (np.maximum(np.maximum(left, true), right) - np.minimum(np.minimum(left, true), right)).max(-1) > MOVING
        score, moving = error.mean(), error[moves].mean() if moves.any() else 0.0
        return {"score": 1.0 - float(score) / 255.0, "moving": 1.0 - float(moving) / 255.0}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "moving": MOVING, **PROTOCOL}


def _triplets(film: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Even frame, odd frame, next even frame, each uint8 (P, h, w, 3); an odd frame behind the last even one is left out."""
    pairs = (len(film) - 1) // 2
    return film[: 2 * pairs : 2], film[1 : 2 * pairs : 2], film[2 : 2 * pairs + 1 : 2]


def _guess(seen: Motion) -> np.ndarray:
    """The frames between: uint8 (P, h, w, 3)."""
    grid = np.stack(np.meshgrid(*map(np.arange, seen.film.shape[2:0:-1])), -1).astype(np.float32)
    left, _, right = _triplets(seen.film)
    pairs = zip(left, right, seen.forward, seen.backward, strict=True)
    return np.stack([cv2.addWeighted(_warp(a, grid - f / 2), 0.5, _warp(b, grid - g / 2), 0.5, 0) for a, b, f, g in pairs])


def _warp(frame: np.ndarray, where: np.ndarray) -> np.ndarray:
    return cv2.remap(frame, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
