"""Imaging quality: how noisy, blurred or badly exposed single frames are, by MUSIQ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from salt_bench.errors import WrongUse
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Setup, Video
from salt_bench.judges.vbench.networks import musiq
from salt_bench.judges.vbench.resizing import centre, floats, portions, resize

Mode = Literal["longer", "shorter", "shorter_centercrop", "None"]
"""What is done to frames first: their longer or shorter side brought down to 512, the middle of the latter, or nothing."""

SIDE = 512


class MusiqPass(Pass):
    """MUSIQ's score of every frame: `scores`, float32 (T,), 0 to 100."""

    weights = ("musiq",)
    mode: ClassVar[Mode]

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._network, self._device = musiq.load(setup.weights / musiq.FILE).to(setup.device), setup.device

    def start(self, video: Video) -> Running:
        return _Scoring(self._network, self._device, self.mode)


class MusiqLonger(MusiqPass):
    name, mode = "musiq_longer", "longer"


class MusiqShorter(MusiqPass):
    name, mode = "musiq_shorter", "shorter"


class MusiqCentre(MusiqPass):
    name, mode = "musiq_shorter_centercrop", "shorter_centercrop"


class MusiqWhole(MusiqPass):
    name, mode = "musiq_none", "None"


class _Scoring(Running):
    def __init__(self, network: musiq.Musiq, device: str, mode: Mode) -> None:
        self._network, self._device, self._mode = network, device, mode
        self._scores: list[np.ndarray] = []

    @torch.inference_mode()
    def take(self, frames: np.ndarray) -> bool:
        for portion in portions(frames, self._device):
            images = brought_down(floats(portion, self._device), self._mode) / 255
            self._scores.append(self._network(images).cpu().numpy())
        return True

    def result(self) -> Found:
        return {"scores": np.concatenate(self._scores or [np.zeros(0, np.float32)])}


def brought_down(x: Tensor, mode: Mode) -> Tensor:
    """Frames (T, 3, H, W) at the size that `mode` lets the network see; small frames stay as they are."""
    height, width = x.shape[-2:]
    side = max(height, width) if mode == "longer" else min(height, width)
    if mode == "None" or side <= SIDE:
        return x
    ratio = SIDE / side
    # the order of these roundings decides: int(512 / 561 * 561) is 511
    x = resize(x, (int(ratio * height), int(ratio * width)), "bilinear")
    return centre(x, SIDE) if mode == "shorter_centercrop" else x


_PASSES: Mapping[str, type[MusiqPass]] = {cls.mode: cls for cls in (MusiqLonger, MusiqShorter, MusiqCentre, MusiqWhole)}


@dataclass(frozen=True)
class ImagingQuality(Dimension):
    """The mean over the frames, 0 to 100 for a video and 0 to 1 for a set. The official default is the mode "longer"."""

    name: ClassVar[str] = "imaging_quality"
    passes: ClassVar[tuple[type[Pass], ...]] = (MusiqLonger,)

    mode: Mode = "longer"

    def __post_init__(self) -> None:
        if self.mode not in _PASSES:
            raise WrongUse(f"imaging_quality sees frames in a mode of {', '.join(_PASSES)}, got {self.mode!r}")
        object.__setattr__(self, "passes", (_PASSES[self.mode],))

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        scores = found[_PASSES[self.mode]]["scores"]
        if not len(scores):
            return Judged(None, note="no frames")
        return Judged(float(scores.astype(np.float64).mean()))
