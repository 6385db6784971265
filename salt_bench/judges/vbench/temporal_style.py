"""Temporal style: does the camera do what the prompt says? By ViCLIP, on prompts that end with a camera's movement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.video_text import ViclipText, ViclipVideo, fit


@dataclass(frozen=True)
class TemporalStyle(Dimension):
    """The cosine of video and prompt, on the prompts of the suite `temporal_style`: only those make it another dimension."""

    name: ClassVar[str] = "temporal_style"
    passes: ClassVar[tuple[type[Pass], ...]] = (ViclipVideo, ViclipText)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        return fit(found)
