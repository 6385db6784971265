"""A clip as one vector, for judges of sets: what it looks like, how that changes, and how it moves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from salt_bench.judges.base import Features
from salt_bench.judges.shared.appearance import WIDTH, appearance
from salt_bench.judges.shared.motion import motion
from salt_bench.types import Clip

BLOCKS = (WIDTH, WIDTH, 5)
"""Lengths of the three parts: network features averaged over the frames, their spread over the frames, motion numbers."""


def summary(clip: Clip, features: Features) -> np.ndarray:
    """float64 (165,). Motion: mean velocity (y, x) of the pixels that move fastest, their speed, its spread over time, and
    the share of pixels that move at half that speed or more; zeros for clips of fewer than three frames."""
    frames = appearance(features)
    return np.concatenate([frames.mean(0), frames.std(0), _motion_numbers(clip, features)])


def scaled(sample: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets, (N, 165) and (M, 165), centred on the reference, each of the three parts divided by the root of the
    reference's total variance in it: so the parts weigh the same, and the reference's total variance is 1."""
    edges = np.cumsum((0, *BLOCKS))
    centre = reference.mean(0)
    scale = np.ones(edges[-1])
    for start, end in pairwise(edges):
        scale[start:end] = np.sqrt(len(BLOCKS) * max(reference[:, start:end].var(0).sum(), 1e-12))
    return (sample - centre) / scale, (reference - centre) / scale


def _motion_numbers(clip: Clip, features: Features) -> np.ndarray:
    seen = motion(features)
    if seen is None:
        return np.zeros(BLOCKS[-1])
    speeds = seen.speeds(clip.fps)
    length = np.hypot(seen.forward[..., 0], seen.forward[..., 1])
    fast = length >= np.maximum(length.max((1, 2), keepdims=True) / 2, 1e-3)
    weight = fast / np.maximum(fast.sum((1, 2), keepdims=True), 1)
    x, y = (seen.forward * weight[..., None]).sum((1, 2)).mean(0) / min(seen.film.shape[1:3]) * clip.fps / 2
    return np.array([y, x, speeds.mean(), speeds.std(), fast.mean()], dtype=np.float64)
