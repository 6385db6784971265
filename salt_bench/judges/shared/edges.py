"""How steep the edges of a picture are."""

from __future__ import annotations

import numpy as np

FAINTEST = 24.0
"""The least contrast, in grey levels, that edges are measured against: a flat picture has no sharp edges, only noise."""


def steepness(frames: np.ndarray) -> float:
    """The mean edge steepness of uint8 frames (T, H, W, C), in 1/pixel."""
    return float(np.mean([edge_steepness(frame) for frame in frames]))


def edge_steepness(frame: np.ndarray) -> float:
    """The steepest gradients over the contrast of one uint8 frame (H, W, C), in 1/pixel."""
    picture = frame.astype(np.float32)
    down = np.square(np.diff(picture, axis=0)).sum(-1)[:, :-1]
    right = np.square(np.diff(picture, axis=1)).sum(-1)[:-1]
    steep = np.sqrt(down + right).ravel()
    count = max(1, int(0.05 * steep.size))
    levels = np.sort(frame.reshape(-1, frame.shape[-1]), axis=0).astype(np.float32)
    low, high = levels[int(0.02 * len(levels))], levels[-1 - int(0.02 * len(levels))]
    contrast = max(float(np.linalg.norm(high - low)), FAINTEST)
    return float(np.partition(steep, -count)[-count:].mean()) / contrast
