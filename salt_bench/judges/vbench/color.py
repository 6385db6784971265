"""VBench's color: of the frames that show the thing of the prompt in some color, the share in which the color is right.

Two official habits are kept. What is compared with the thing's name is the name of the frame's best instance, whichever
description is looked at; and a color is found in a description wherever its letters are: "red" in "colored".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.detections import Detections, Instance, OpenCVDetections, large, unpacked

COLORS = (
    "white",
    "red",
    "pink",
    "blue",
    "silver",
    "purple",
    "orange",
    "green",
    "gray",
    "yellow",
    "black",
    "grey",
)


def thing(prompt: str, color: str) -> str:
    """What the prompt is about: "bicycle" of "a red bicycle". Letters are taken away wherever they stand, as officially."""
    return prompt.replace("a ", "").replace("an ", "").replace(color, "").strip()


def colored(frame: Sequence[Instance], name: str) -> bool:
    """Whether a frame shows the thing, and some description any color."""
    return bool(frame) and frame[0].name == name and any(color in one.description for one in frame for color in COLORS)


def right(frame: Sequence[Instance], name: str, color: str) -> bool:
    """Whether a frame shows the thing, and some description the color."""
    return bool(frame) and frame[0].name == name and any(color in one.description for one in frame)


class Color(Dimension):
    """A video without a frame that shows the thing in any color is left out of the mean."""

    name: ClassVar[str] = "color"
    passes: ClassVar[tuple[type[Pass], ...]] = (Detections, OpenCVDetections)

    def wants(self, video: Video) -> tuple[type[Pass], ...]:
        return (OpenCVDetections,) if large(video.height, video.width) else (Detections,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        if self.name not in video.auxiliary:
            return Judged(None, note=f"{self.name} needs auxiliary_info.{self.name} of the prompt")
        color = video.auxiliary[self.name]["color"]
        name, frames = thing(video.text, color), unpacked(found[self.wants(video)[0]])
        counted = sum(colored(frame, name) for frame in frames)
        if not counted:
            return Judged(None, note=f"no frame shows {name} in any color")
        share = sum(right(frame, name, color) for frame in frames) / counted
        return Judged(share, extra={"cur_success_frame_rate": share})
