"""Appearance style: how well CLIP's frames fit the name of the style that the prompt asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from salt_bench.judges.vbench import features, weights
from salt_bench.judges.vbench.base import Dimension, Found, Frameless, Judged, Pass, Running, Video
from salt_bench.judges.vbench.networks import clip


def style(video: Video) -> str:
    """The style's own words in the suite, e.g. "Van Gogh style"; the prompt where the suite says nothing."""
    said = video.auxiliary.get("appearance_style", video.text)
    return str(said["appearance_style"] if isinstance(said, Mapping) else said)


class ClipPictures(Pass):
    """rows (T, 512): CLIP ViT-B/32's projected features of all frames, resized by PIL."""

    name: ClassVar[str] = "clip_b32_pictures"
    weights: ClassVar[tuple[str, ...]] = ("clip_b32",)

    def start(self, video: Video) -> Running:
        return features.Collected(self._look, self.setup.device)

    def _look(self, frames: np.ndarray) -> np.ndarray:
        net = clip.images(weights.locate(self.setup.weights, "clip_b32"), self.setup.device, self.setup.precision)
        return net.pictures(frames).cpu().numpy()


class StyleText(Frameless):
    """text (512,): the style's projected features, and scale: CLIP's exp(logit_scale)."""

    name: ClassVar[str] = "clip_b32_style"
    weights: ClassVar[tuple[str, ...]] = ("clip_b32",)

    @classmethod
    def reads(cls, video: Video) -> str:
        return style(video)

    def found(self, video: Video) -> Found:
        net = clip.texts(weights.locate(self.setup.weights, "clip_b32"), self.setup.device, self.setup.precision)
        return {"text": net([style(video)])[0].cpu().numpy(), "scale": np.array(net.scale)}


class AppearanceStyle(Dimension):
    """The mean over frames of scale · cos(frame, style) / 100; a set's score weighs all frames alike."""

    name: ClassVar[str] = "appearance_style"
    passes: ClassVar[tuple[type[Pass], ...]] = (ClipPictures, StyleText)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        frames, text = (torch.from_numpy(found[kind][name]) for kind, name in ((ClipPictures, "rows"), (StyleText, "text")))
        scores = F.cosine_similarity(frames.double(), text.double()[None], dim=-1) * float(found[StyleText]["scale"]) / 100
        results = scores.tolist()
        extra = {"frame_results": results, "cur_sim": results[-1], "text": style(video)}
        return Judged(sum(results) / len(results), len(results), extra=extra)
