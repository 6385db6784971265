"""Aesthetic quality: LAION's linear head on CLIP ViT-L/14, per frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from salt_bench.judges.vbench import features, weights
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Setup, Video
from salt_bench.judges.vbench.networks import clip


class Beauty(Pass):
    """rows (T,): the head's word on every frame, about 0 to 10."""

    name: ClassVar[str] = "clip_l14_beauty"
    weights: ClassVar[tuple[str, ...]] = ("clip_l14", "laion")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._head: dict[str, torch.Tensor] | None = None

    def start(self, video: Video) -> Running:
        return features.Collected(self._look, self.setup.device)

    def _look(self, frames: np.ndarray) -> np.ndarray:
        net = clip.images(weights.locate(self.setup.weights, "clip_l14"), self.setup.device, self.setup.precision)
        self._head = self._head or self._read_head()
        unit = F.normalize(net.frames(frames).float().cpu(), dim=-1)
        return F.linear(unit, self._head["weight"], self._head["bias"])[:, 0].numpy()

    def _read_head(self) -> dict[str, torch.Tensor]:
        path = weights.locate(self.setup.weights, "laion")
        with weights.reading(path):
            state = torch.load(path, weights_only=True, map_location="cpu")
            return {name: state[name] for name in ("weight", "bias")}


class AestheticQuality(Dimension):
    """The mean over frames of a tenth of the head's word."""

    name: ClassVar[str] = "aesthetic_quality"
    passes: ClassVar[tuple[type[Pass], ...]] = (Beauty,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        return Judged(float(found[Beauty]["rows"].mean(dtype=np.float64)) / 10.0)
