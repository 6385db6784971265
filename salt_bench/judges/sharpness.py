"""Sharpness: how steep the steepest edges are, as a share of the picture's contrast. No weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.edges import steepness
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class Sharpness(Judge):
    """Mean gradient of the steepest 5% of the pixels over the contrast (98th minus 2nd percentile), averaged over frames.

    A step from the darkest to the brightest colour within one pixel counts 1 (per pixel); spread over w pixels, about 1/w.
    Brightness and contrast cancel. Noise lowers it on sharp clips and raises it on very blurred ones, and the number depends on
    what is shown: compare only arms of the same world.
    """

    name: ClassVar[str] = "sharpness"
    # on sharp 24 x 24 clips a Gaussian blur of 0.4 pixels costs 9%, one of 0.5 22%; half of the former is not seen
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1/px", +1, 0.05, relative=True, title="Sharpness of edges")}
    detects: ClassVar[tuple[str, ...]] = ("blur",)
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "darken", "mirror", "reverse", "shuffle_frames")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        if min(features.pixels.shape[1:3]) < 2:
            return {"score": None}
        return {"score": steepness(features.pixels)}
