"""What a few frames look like to a small network, once per clip for all judges.

Four frames, and the same four with the subject painted over, go through EfficientNet-Lite0 in one batch at 64 x 64. The
features are the 80 pooled channels behind block 8 of 16, chosen by measurement on 32 moving-shape clips per kind (AUC of
good against corrupted clips, whole frame; the last column is time on one thread for 12 pictures):

| features | colour flip | shape flip | scene drift, subject painted over | brightness flicker (want .5) | ms |
|---|---|---|---|---|---|
| block 3, 64 px | .99 | .77 | 1.00 | .68 | 4 |
| **block 8, 64 px** | 1.00 | .95 | .99 | .53 | 7 |
| block 16, 64 px | .96 | .99 | .98 | .51 | 15 |
| block 8, 96 px | 1.00 | .98 | 1.00 | .49 | 18 |
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from salt_bench.judges.base import Features
from salt_bench.judges.shared.subject import background, split

FRAMES, SIDE, BLOCKS, WIDTH = 4, 64, 8, 80


@dataclass(frozen=True, eq=False)
class Appearance:
    """Pooled network features, float64: `frames` (K, 80) of K evenly spaced frames, `scene` (K, 80) of the same frames with
    the subject painted over. K is 4, or the number of frames where a clip has fewer."""

    frames: np.ndarray
    scene: np.ndarray


def appearance(features: Features) -> Appearance:
    """The clip's appearance."""
    return features.get("appearance", lambda: _measure(features.pixels))


def consistency(vectors: np.ndarray) -> float | None:
    """VBench's consistency of (K, D) features: the mean over k > 0 of (max(0, cos to k-1) + max(0, cos to 0)) / 2, in [0, 1].

    None for a single frame, which cannot change."""
    if len(vectors) < 2:
        return None
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    previous, first = (unit[1:] * unit[:-1]).sum(1), (unit[1:] * unit[:1]).sum(1)
    # float64 rounding may put the cosine of two equal vectors above 1
    return float(np.clip((previous, first), 0.0, 1.0).mean())


def protocol() -> dict[str, object]:
    """What two appearances must share to be comparable."""
    from salt_bench.judges.networks.efficientnet import WEIGHTS_SHA256

    return {"network": "EfficientNet-Lite0", "weights": WEIGHTS_SHA256, "blocks": BLOCKS, "side": SIDE, "frames": FRAMES}


def _measure(pixels: np.ndarray) -> Appearance:
    from salt_bench.judges.networks.efficientnet import embed

    chosen = pixels[np.unique(np.linspace(0, len(pixels) - 1, FRAMES).round().astype(int))]
    scene = background(chosen, split(chosen))
    vectors = embed(np.concatenate([_square(chosen), _square(scene)]), BLOCKS).astype(np.float64)
    return Appearance(vectors[: len(chosen)], vectors[len(chosen) :])


def _square(frames: np.ndarray) -> np.ndarray:
    how = cv2.INTER_LINEAR if min(frames.shape[1:3]) < SIDE else cv2.INTER_AREA
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=how) for frame in np.ascontiguousarray(frames)])
