"""The static filter: whether a video stands still, by RAFT's optical flow. It chooses the samples of temporal flickering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Video
from salt_bench.judges.vbench.motion import Speeds

_SHARE = 0.02


@dataclass(frozen=True)
class Rule:
    """A video is static where at most `most` pairs of consecutive frames are faster than `speed` pixels, and where neither the
    way from the first frame to the last nor back is longer than `far`."""

    speed: float
    most: int

    @property
    def far(self) -> float:
        return self.speed * self.most * 2

    def moving(self, speeds: Sequence[float]) -> bool:
        """Settled: no later pair can make it static again."""
        return sum(speed > self.speed for speed in speeds) > self.most

    def static(self, speeds: Sequence[float], ends: Sequence[float]) -> bool:
        return not self.moving(speeds) and all(end <= self.far for end in ends)


def rule(video: Video) -> Rule:
    """The official thresholds, which grow with the picture and with the number of frames."""
    return Rule(3.0 * min(video.height, video.width) / 256, round(2 * video.frames / 16))


class SlowPairs(Pass):
    """pairs (n,) and ends: see `Speeds`; n stops where the answer is known."""

    name: ClassVar[str] = "raft_slow_pairs"
    weights: ClassVar[tuple[str, ...]] = ("raft",)

    def start(self, video: Video) -> Running:
        return Speeds(self.setup, video, _SHARE, rule(video).moving, ends=True)


class StaticFilter(Dimension):
    """1 where the video is static, else 0."""

    name: ClassVar[str] = "static_filter"
    passes: ClassVar[tuple[type[Pass], ...]] = (SlowPairs,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        speeds, ends = found[SlowPairs]["pairs"].tolist(), found[SlowPairs]["ends"].tolist()
        limits = rule(video)
        extra = {"pair_scores": [*speeds, *ends], "pairs": video.frames + 1, "thres": limits.speed, "count_num": limits.most}
        return Judged(float(limits.static(speeds, ends)), extra=extra)
