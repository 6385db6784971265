"""Overall consistency: how well the video fits the whole prompt, by ViCLIP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.video_text import ViclipText, ViclipVideo, fit


@dataclass(frozen=True)
class OverallConsistency(Dimension):
    """The cosine of video and prompt, on the prompts of the suite `overall_consistency`."""

    name: ClassVar[str] = "overall_consistency"
    passes: ClassVar[tuple[type[Pass], ...]] = (ViclipVideo, ViclipText)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        return fit(found)
