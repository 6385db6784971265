"""What a few frames look like to a small network, once per clip for all judges.

Four frames, or the same four with the subject painted over, go through EfficientNet-Lite0 in one batch at 64 x 64. The
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

import cv2
import numpy as np

from salt_bench.judges.base import Features
from salt_bench.judges.shared.subject import background, split

FRAMES, SIDE, BLOCKS, WIDTH = 4, 64, 8, 80


def appearance(features: Features) -> np.ndarray:
    """Pooled network features (K, 80), float64, of K evenly spaced frames: K is 4, or all frames where a clip has fewer."""
    return features.get("appearance", lambda: _embedded(_chosen(features.pixels)))


def scenery(features: Features) -> np.ndarray:
    """The same of the same frames with the subject painted over."""
    return features.get("scenery", lambda: _embedded(_scene(_chosen(features.pixels))))


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


def _chosen(pixels: np.ndarray) -> np.ndarray:
    return pixels[np.unique(np.linspace(0, len(pixels) - 1, FRAMES).round().astype(int))]


def _scene(frames: np.ndarray) -> np.ndarray:
    return background(frames, split(frames))


def _embedded(frames: np.ndarray) -> np.ndarray:
    from salt_bench.judges.networks.efficientnet import embed

    return embed(_square(frames), BLOCKS).astype(np.float64)


def _square(frames: np.ndarray) -> np.ndarray:
    how = cv2.INTER_LINEAR if min(frames.shape[1:3]) < SIDE else cv2.INTER_AREA
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=how) for frame in np.ascontiguousarray(frames)])
