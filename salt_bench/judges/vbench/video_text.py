"""How well a video fits its prompt: the cosine of ViCLIP's two vectors, from which two dimensions read.

The vectors come from two passes, because they are remembered apart: the video's costs seconds and does not depend on the text,
the text's looks at no frame and is known by the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from salt_bench.judges.vbench.base import Found, Frameless, Judged, Pass, Running, Setup, Video, middle
from salt_bench.judges.vbench.networks import viclip
from salt_bench.judges.vbench.resizing import CLIP, centre, floats, normalised, shorten


class ViclipVideo(Pass):
    """`vector`, float32 (768,), of eight frames of the video."""

    name = "viclip_video"
    weights = ("viclip",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._tower, self._device = viclip.load_video(setup.weights / viclip.FILE).to(setup.device), setup.device

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, viclip.FRAMES)

    def start(self, video: Video) -> Running:
        return _Watching(self._tower, self._device)


class ViclipText(Frameless):
    """`vector`, float32 (768,), of the video's text."""

    name = "viclip_text"
    weights = ("viclip",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._known: dict[str, np.ndarray] = {}  # the samples of a prompt share its text

    @classmethod
    def reads(cls, video: Video) -> str:
        return video.text

    def found(self, video: Video) -> Found:
        if video.text not in self._known:
            self._known[video.text] = self._encoded(video.text)
        return {"vector": self._known[video.text]}

    @torch.inference_mode()
    def _encoded(self, text: str) -> np.ndarray:
        """The tower is mapped from its file again for every new text: it would lie idle beside the one for videos."""
        tower = viclip.load_text(self.setup.weights / viclip.FILE).to(self.setup.device)
        return tower(viclip.tokenize(text).to(self.setup.device))[0].cpu().numpy()


class _Watching(Running):
    def __init__(self, tower: viclip.VideoTower, device: str) -> None:
        self._tower, self._device = tower, device
        self._seen: list[Tensor] = []

    @torch.inference_mode()
    def take(self, frames: np.ndarray) -> bool:
        self._seen.append(prepared(floats(frames, self._device)))
        return True

    @torch.inference_mode()
    def result(self) -> Found:
        return {"vector": self._tower(torch.cat(self._seen).transpose(0, 1)[None])[0].cpu().numpy()}


def prepared(x: Tensor) -> Tensor:
    """Frames (T, 3, H, W), 0 to 255, as the network sees them. They are resized as bytes: the overshoot of the cubic is cut
    off and every pixel rounded (halves to even) before the scale changes."""
    x = shorten(x, viclip.SIDE, "bicubic").clamp(0, 255).round()
    return normalised(centre(x, viclip.SIDE) / 255, CLIP)


def fit(found: Mapping[type[Pass], Found]) -> Judged:
    """The cosine between the video and its text: neither clamped nor scaled."""
    video, text = (found[one]["vector"].astype(np.float64) for one in (ViclipVideo, ViclipText))
    return Judged(float(video @ text / (np.linalg.norm(video) * np.linalg.norm(text))))
