"""VBench's spatial_relationship: how surely two things stand beside, or above, each other.

Three official habits are kept: which of the two is on which side does not matter, two boxes of the same name are a pair, and
pairs that overlap count less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.detections import Detections, Instance, unpacked

Box = tuple[int, ...]
SIDEWAYS = ("on the left of", "on the right of")
UPRIGHT = ("on the top of", "on the bottom of")
OVERLAP = 0.1


def intersection_over_union(a: Box, b: Box) -> float:
    """Of two boxes x0, y0, x1, y1; 0 where both are empty."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union else 0.0


def stands(a: Box, b: Box, relationship: str) -> bool:
    """Whether the line between the centres is as flat, or as steep, as the relationship says."""
    across = abs((a[0] + a[2]) - (b[0] + b[2]))
    along = abs((a[1] + a[3]) - (b[1] + b[3]))
    return (relationship in SIDEWAYS and across > along) or (relationship in UPRIGHT and along > across)


def pair_score(a: Box, b: Box, relationship: str) -> float:
    """1 for a pair that stands as it should, less where it overlaps by more than a tenth; 0 for any other."""
    if not stands(a, b, relationship):
        return 0.0
    overlap = intersection_over_union(a, b)
    return 1.0 if overlap < OVERLAP else OVERLAP / overlap


def frame_score(frame: Sequence[Instance], names: Sequence[str], relationship: str) -> float:
    """The best pair's."""
    boxes = [one.box for one in frame if one.name in names]
    return max((pair_score(a, b, relationship) for a, b in combinations(boxes, 2)), default=0.0)


class SpatialRelationship(Dimension):
    """The mean over 16 frames."""

    name: ClassVar[str] = "spatial_relationship"
    passes: ClassVar[tuple[type[Pass], ...]] = (Detections,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        if self.name not in video.auxiliary:
            return Judged(None, note=f"{self.name} needs auxiliary_info.{self.name} of the prompt")
        key = video.auxiliary[self.name]
        names = (key["object_a"], key["object_b"])
        scores = [frame_score(frame, names, key["relationship"]) for frame in unpacked(found[Detections])]
        return Judged(sum(scores) / len(scores), weight=len(scores), extra={"frame_results": scores})
