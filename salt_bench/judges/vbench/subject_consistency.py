"""Subject consistency: how alike DINO finds a video's frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from salt_bench.judges.vbench import features, weights
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Video
from salt_bench.judges.vbench.networks import dino
from salt_bench.judges.vbench.resizing import IMAGENET, floats, normalised, shorten

_SIDE = 224


class DinoFrames(Pass):
    """rows (T, 768): DINO ViT-B/16's class token of all frames, short side 224, nothing cropped."""

    name: ClassVar[str] = "dino_frames"
    weights: ClassVar[tuple[str, ...]] = ("dino",)

    def start(self, video: Video) -> Running:
        return features.Collected(self._look, self.setup.device)

    def _look(self, frames: np.ndarray) -> np.ndarray:
        net = dino.load(weights.locate(self.setup.weights, "dino"), self.setup.device)
        small = shorten(floats(frames, self.setup.device), _SIDE, "bilinear")
        return net(normalised(small / 255, IMAGENET)).cpu().numpy()


class SubjectConsistency(Dimension):
    """The mean agreement of the frames' features; a set's score weighs all pairs of frames alike."""

    name: ClassVar[str] = "subject_consistency"
    passes: ClassVar[tuple[type[Pass], ...]] = (DinoFrames,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        return features.consistency(found[DinoFrames]["rows"])
