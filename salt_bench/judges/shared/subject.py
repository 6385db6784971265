"""Where the subject is: what differs from a smooth scene that is fitted to the border of the frame.

The scene is one plane per colour channel (a plain or linearly shaded background), fitted by least squares to the border
pixels and once more without the worst quarter of them, so that an object which touches the border does not bend it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

THRESHOLD = 24.0
"""A pixel belongs to the subject where a channel differs from the scene by more than this (of 255): three times what the
codec's ringing reaches in a flat scene."""


@dataclass(frozen=True, eq=False)
class Split:
    """`scene` float32 (T, H, W, 3) in [0, 255], the fitted background; `mask` bool (T, H, W), True on the subject."""

    scene: np.ndarray
    mask: np.ndarray


def split(frames: np.ndarray) -> Split:
    """Subject and scene of uint8 frames (T, H, W, 3), each frame by itself."""
    design, border = _design(*frames.shape[1:3])
    scene = np.stack([design @ _plane(frame[border], design[border.ravel()]) for frame in frames.astype(np.float32)])
    scene = scene.reshape(frames.shape).clip(0, 255)
    return Split(scene, np.abs(frames - scene).max(-1) > THRESHOLD)


def background(frames: np.ndarray, cut: Split) -> np.ndarray:
    """The frames with the subject, and a pixel around it, painted over by the scene: uint8 (T, H, W, 3)."""
    mask = cut.mask.copy()
    for axis in (1, 2):
        mask |= np.roll(mask, 1, axis) | np.roll(mask, -1, axis)
    return np.where(mask[..., None], np.rint(cut.scene).astype(np.uint8), frames)


@lru_cache(maxsize=8)
def _design(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns 1, y, x of every pixel, float32 (H·W, 3), and the border as bool (H, W)."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    border = np.ones((height, width), bool)
    border[1:-1, 1:-1] = False
    return np.stack([np.ones_like(y), y, x], -1).reshape(-1, 3).astype(np.float32), border


def _plane(colours: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Coefficients (3, 3) of the plane through most of the border: `colours` (P, 3), `design` (P, 3)."""
    first = colours - np.median(colours, 0)
    keep = np.abs(first).max(-1)
    coarse = np.linalg.lstsq(design[keep <= np.quantile(keep, 0.75)], colours[keep <= np.quantile(keep, 0.75)], rcond=None)[0]
    error = np.abs(colours - design @ coarse).max(-1)
    trusted = error <= np.quantile(error, 0.75)
    return np.linalg.lstsq(design[trusted], colours[trusted], rcond=None)[0]
