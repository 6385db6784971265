"""VBench's multiple_objects: the share of 16 frames in which both things of the prompt are seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.detections import Detections, shown


class MultipleObjects(Dimension):
    """The key is "A and B"."""

    name: ClassVar[str] = "multiple_objects"
    passes: ClassVar[tuple[type[Pass], ...]] = (Detections,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        if self.name not in video.auxiliary:
            return Judged(None, note=f"{self.name} needs auxiliary_info.{self.name} of the prompt")
        return shown(set(video.auxiliary[self.name]["object"].split(" and ")), found[Detections])
