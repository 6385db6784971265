"""Temporal flickering: how little neighbouring frames differ, pixel by pixel. No network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Video


class _Differences(Running):
    def __init__(self) -> None:
        self.last: np.ndarray | None = None
        self.means: list[float] = []

    def take(self, frames: np.ndarray) -> bool:
        for frame in frames:
            if self.last is not None:
                larger, smaller = np.maximum(frame, self.last), np.minimum(frame, self.last)
                self.means.append(float((larger - smaller).mean(dtype=np.float64)))
            self.last = frame
        self.last = None if self.last is None else self.last.copy()  # a view would keep all frames of the block
        return True

    def result(self) -> Found:
        return {"means": np.array(self.means)}


class Differences(Pass):
    """means (T-1,): mean |I_t - I_{t+1}| over all pixels and channels, in grey levels of 255."""

    name: ClassVar[str] = "differences"

    def start(self, video: Video) -> Running:
        return _Differences()


class TemporalFlickering(Dimension):
    """(255 - mean_t mean |I_t - I_{t+1}|) / 255."""

    name: ClassVar[str] = "temporal_flickering"
    passes: ClassVar[tuple[type[Pass], ...]] = (Differences,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        means = found[Differences]["means"]
        if not len(means):
            return Judged(None, note="a single frame has no pair to compare")
        return Judged((255.0 - float(means.mean())) / 255.0)
