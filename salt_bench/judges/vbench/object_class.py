"""VBench's object_class: the share of 16 frames in which the thing of the prompt is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.detections import Detections, shown


class ObjectClass(Dimension):
    """The key is one of 79 COCO names, and must equal the name of some instance."""

    name: ClassVar[str] = "object_class"
    passes: ClassVar[tuple[type[Pass], ...]] = (Detections,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        if self.name not in video.auxiliary:
            return Judged(None, note=f"{self.name} needs auxiliary_info.{self.name} of the prompt")
        return shown({video.auxiliary[self.name]["object"]}, found[Detections])
