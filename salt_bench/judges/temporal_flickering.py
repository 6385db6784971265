"""Temporal flickering: how little neighbouring frames differ, pixel by pixel. VBench's own formula; no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from salt_bench.judges.base import Features, Judge
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class TemporalFlickering(Judge):
    """(255 - mean_t mean |I_t - I_{t+1}|) / 255 over all pixels and channels, in [0, 1].

    Motion lowers it too, and a static clip scores exactly 1: read it beside `dynamic_degree`.
    """

    name: ClassVar[str] = "temporal_flickering"
    # the margin is half a grey level of 255 in every pixel of every frame
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1", +1, 0.002, title="Temporal flickering")}
    detects: ClassVar[tuple[str, ...]] = ("flicker", "jitter", "noise", "shuffle_frames", "hard_cut")
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "mirror", "reverse")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        if len(features.pixels) < 2:
            return {"score": None}
        film = features.pixels.astype(np.int16)
        return {"score": (255.0 - float(np.abs(np.diff(film, axis=0)).mean(dtype=np.float64))) / 255.0}
