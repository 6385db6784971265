"""Motion smoothness: can every odd frame be guessed from its neighbours? By AMT, whose weights are not for commercial use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Setup, Video
from salt_bench.judges.vbench.networks import amt
from salt_bench.judges.vbench.resizing import floats

SMALLEST = 113
"""Height and width below which the coarsest matches are a single row or column, which cannot be looked up between."""

PIXELS = 2**20
"""Of the pairs that are guessed between at once; one pair always is, at its full size."""


class AmtPass(Pass):
    """`errors`, float64 (K,): how far each odd frame is from the one guessed between its neighbours, in grey levels."""

    name = "amt_errors"
    weights = ("amt",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._network, self._device = amt.load(setup.weights / amt.FILE).to(setup.device), setup.device

    def start(self, video: Video) -> Running:
        return _Guessing(self._network, self._device, video)


class _Guessing(Running):
    """Keeps the frames of a batch of overlapping triplets: even, odd, even, …"""

    def __init__(self, network: amt.Amt, device: str, video: Video) -> None:
        self._network, self._device = network, device
        self._possible = min(video.height, video.width) >= SMALLEST
        self._batch = max(1, PIXELS // (video.height * video.width))
        self._waiting: list[np.ndarray] = []
        self._errors: list[float] = []

    def take(self, frames: np.ndarray) -> bool:
        if not self._possible:
            return False
        for frame in frames:
            self._waiting.append(frame)
            if len(self._waiting) == 2 * self._batch + 1:
                self._guess()
        self._waiting = [frame.copy() for frame in self._waiting]  # views would keep all frames of the block
        return True

    def result(self) -> Found:
        self._guess()
        return {"errors": np.array(self._errors, np.float64)}

    @torch.inference_mode()
    def _guess(self) -> None:
        """Judges the odd frames that have two neighbours; the last even one stays for the next batch."""
        pairs = (len(self._waiting) - 1) // 2
        if pairs < 1:
            return
        even, odd = np.stack(self._waiting[: 2 * pairs + 1 : 2]), np.stack(self._waiting[1 : 2 * pairs : 2])
        guessed = between(self._network, floats(even, self._device))
        gaps = np.abs(guessed.astype(np.int16) - odd)
        self._errors += [float(gap.mean()) for gap in gaps]
        self._waiting = self._waiting[2 * pairs :]


def between(network: amt.Amt, even: Tensor) -> np.ndarray:
    """The frames between (K + 1, 3, H, W), 0 to 255: uint8 (K, H, W, 3), cut down and not rounded."""
    height, width = even.shape[-2:]
    left, right, top, bottom = (*split(width), *split(height))
    padded = F.pad(even / 255, (left, right, top, bottom), mode="replicate")
    guessed = network(padded[:-1], padded[1:])[..., top : top + height, left : left + width]
    return (guessed * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def split(length: int) -> tuple[int, int]:
    """What is missing to a multiple of 16, before and after; the odd pixel goes after."""
    missing = -length % amt.STRIDE
    return missing // 2, missing - missing // 2


@dataclass(frozen=True)
class MotionSmoothness(Dimension):
    """1 - mean error / 255, the mean over the odd frames that have two neighbours. A static video scores 1."""

    name: ClassVar[str] = "motion_smoothness"
    passes: ClassVar[tuple[type[Pass], ...]] = (AmtPass,)
    commercial: ClassVar[bool] = False

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        if min(video.height, video.width) < SMALLEST:
            return Judged(None, note=f"frames are smaller than {SMALLEST} pixels, too small for AMT")
        errors = found[AmtPass]["errors"]
        if not len(errors):
            return Judged(None, note="fewer than three frames")
        return Judged((255.0 - float(errors.mean())) / 255.0)
