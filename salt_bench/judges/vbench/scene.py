"""VBench's scene: the share of 16 frames whose sentence holds the words of the prompt's scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.captions import Captions


def shows(caption: str, scene: str) -> bool:
    """Whether every word of the scene stands somewhere in the sentence, be it inside of another word, as officially."""
    return all(word in caption for word in scene.split(" "))


class Scene(Dimension):
    """The mean over all videos' frames."""

    name: ClassVar[str] = "scene"
    passes: ClassVar[tuple[type[Pass], ...]] = (Captions,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        if self.name not in video.auxiliary:
            return Judged(None, note=f"{self.name} needs auxiliary_info.{self.name} of the prompt")
        scene = video.auxiliary[self.name]["scene"]
        frames = [shows(caption, scene) for caption in found[Captions]["caption"].tolist()]
        extra = {"success_frame_count": sum(frames), "frame_count": len(frames)}
        return Judged(sum(frames) / len(frames), weight=len(frames), extra=extra)
