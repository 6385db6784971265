"""Background consistency: how alike CLIP finds a video's frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from salt_bench.judges.vbench import features, weights
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Video
from salt_bench.judges.vbench.networks import clip


class ClipFrames(Pass):
    """rows (T, 512): CLIP ViT-B/32's projected features of all frames, resized as tensors."""

    name: ClassVar[str] = "clip_b32_frames"
    weights: ClassVar[tuple[str, ...]] = ("clip_b32",)

    def start(self, video: Video) -> Running:
        return features.Collected(self._look, self.setup.device)

    def _look(self, frames: np.ndarray) -> np.ndarray:
        net = clip.images(weights.locate(self.setup.weights, "clip_b32"), self.setup.device, self.setup.precision)
        return net.frames(frames).cpu().numpy()


class BackgroundConsistency(Dimension):
    """The mean agreement of the frames' features; a set's score weighs all pairs of frames alike."""

    name: ClassVar[str] = "background_consistency"
    passes: ClassVar[tuple[type[Pass], ...]] = (ClipFrames,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        return features.consistency(found[ClipFrames]["rows"])
