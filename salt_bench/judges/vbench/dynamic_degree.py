"""Dynamic degree: whether a video moves at all, by RAFT's optical flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Video
from salt_bench.judges.vbench.motion import Speeds

_SHARE = 0.05


@dataclass(frozen=True)
class Rule:
    """A video is dynamic where at least `need` of its `pairs` pairs of frames are faster than `speed` pixels."""

    speed: float
    need: int
    pairs: int

    def dynamic(self, speeds: Sequence[float]) -> bool:
        return len(speeds) > 0 and self._fast(speeds) >= self.need

    def decided(self, speeds: Sequence[float]) -> bool:
        """No later pair can change the answer."""
        left = self.pairs - len(speeds)
        return self.dynamic(speeds) or self._fast(speeds) + left < self.need

    def _fast(self, speeds: Sequence[float]) -> int:
        return sum(speed > self.speed for speed in speeds)


def frames(video: Video) -> range:
    """About eight frames per second, from the first."""
    return range(0, video.frames, max(1, round(video.fps / 8)))


def rule(video: Video) -> Rule:
    """The official thresholds, which grow with the picture and with the number of frames."""
    count = len(frames(video))
    return Rule(6.0 * min(video.height, video.width) / 256, round(4 * count / 16), max(count - 1, 0))


class FastPairs(Pass):
    """pairs (n,): see `Speeds`; n stops where the answer is known."""

    name: ClassVar[str] = "raft_fast_pairs"
    weights: ClassVar[tuple[str, ...]] = ("raft",)

    def chosen(self, video: Video) -> Sequence[int]:
        return frames(video)

    def start(self, video: Video) -> Running:
        return Speeds(self.setup, video, _SHARE, rule(video).decided)


class DynamicDegree(Dimension):
    """1 where the video is dynamic, else 0."""

    name: ClassVar[str] = "dynamic_degree"
    passes: ClassVar[tuple[type[Pass], ...]] = (FastPairs,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        speeds, limits = found[FastPairs]["pairs"].tolist(), rule(video)
        extra = {"pair_scores": speeds, "pairs": limits.pairs, "thres": limits.speed, "count_num": limits.need}
        return Judged(float(limits.dynamic(speeds)), extra=extra)
