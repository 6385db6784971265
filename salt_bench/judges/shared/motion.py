"""Optical flow between every second frame of a clip, in both directions, once per clip for all judges.

Classical DIS flow (Kroeger et al. 2016, OpenCV's medium preset down to the finest scale) needs no weights. Frames two
apart, because on tiny pictures one pixel in two frames is read more exactly than half a pixel in one: on 24 x 24 frames
with a 7-12 px object, speeds of 0.25, 0.5, 1, 1.5 and 2 px per frame read as 0.24, 0.47, 0.94, 1.41 and 1.86 on average.
A flat object moves at its edges only: the flow inside it is a guess of the smoothness term.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from salt_bench.judges.base import Features

SMALLEST, LARGEST = 36, 256
"""Frames whose shorter side is outside of these are resized to them. 36: 24 x 24 frames at 1.5x read speeds as well as at
4x and cost a seventh; 256: the size that VBench's motion thresholds refer to."""

PROTOCOL = {"flow": "DIS medium, finest scale 0", "step": 2, "short side": [SMALLEST, LARGEST]}


@dataclass(frozen=True, eq=False)
class Motion:
    """`film` uint8 (T, h, w, 3), the resized clip; `forward` float32 (P, h, w, 2), the (x, y) pixels of `film` by which
    frame 2p moves until frame 2p + 2; `backward` the same from frame 2p + 2 to 2p."""

    film: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    def speeds(self, fps: float) -> np.ndarray:
        """How fast the fastest 5% of the pixels move, for each pair: float (P,) in short sides per second."""
        length = np.hypot(self.forward[..., 0], self.forward[..., 1]).reshape(len(self.forward), -1)
        count = max(1, int(0.05 * length.shape[1]))
        fastest = np.partition(length, -count, axis=1)[:, -count:].mean(1)
        return fastest.astype(np.float64) / min(self.film.shape[1:3]) * fps / 2


def motion(features: Features) -> Motion | None:
    """The clip's motion; None where it has fewer than three frames."""
    return features.get("motion", lambda: _measure(features.pixels))


def _measure(pixels: np.ndarray) -> Motion | None:
    if len(pixels) < 3:
        return None
    film = _resized(pixels)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in film[::2]]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    fresh = np.empty(0, np.float32)  # no flow to start from
    forward = [flow.calc(left, right, fresh) for left, right in pairwise(grey)]
    backward = [flow.calc(right, left, fresh) for left, right in pairwise(grey)]
    return Motion(film, np.stack(forward), np.stack(backward))


def _resized(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[-1] != 3:
        raise ValueError(f"motion is read from RGB frames (T, H, W, 3), got {pixels.shape}: repeat a grey channel three times")
    height, width = pixels.shape[1:3]
    zoom = np.clip(min(height, width), SMALLEST, LARGEST) / min(height, width)
    if zoom == 1:
        return pixels
    size = (round(width * zoom), round(height * zoom))
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    return np.stack([cv2.resize(frame, size, interpolation=how) for frame in np.ascontiguousarray(pixels)])
