"""What it is like to wait for a video that is made while it is played: pure arithmetic of when its pieces were finished."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from salt_bench.types import Output


@dataclass(frozen=True)
class Watched:
    """One video in the making: seconds from its start until each piece was finished, and the frames of each piece."""

    ends: tuple[float, ...]
    frames: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.ends) != len(self.frames) or not self.ends or list(self.ends) != sorted(self.ends) or self.ends[0] <= 0:
            raise ValueError(f"pieces are finished one after the other, each with its frames, got {self.ends}, {self.frames}")

    @property
    def rate(self) -> float:
        """Frames a second, from the start to the last frame."""
        return sum(self.frames) / self.ends[-1]

    def rate_from(self, piece: int) -> float:
        """Frames a second of the pieces from number `piece` on, at least 1."""
        return sum(self.frames[piece:]) / (self.ends[-1] - self.ends[piece - 1])

    @property
    def gaps(self) -> tuple[float, ...]:
        """Seconds of every piece but the first."""
        return tuple(b - a for a, b in pairwise(self.ends))

    def due(self, fps: float) -> tuple[float, ...]:
        """When each piece must be there for a player that starts with the first piece and never waits."""
        return tuple(self.ends[0] + before / fps for before in accumulate(self.frames[:-1], initial=0))

    def late(self, fps: float) -> int:
        """Pieces that come after they are due."""
        return sum(end > due for end, due in zip(self.ends, self.due(fps), strict=True))

    def stalls(self, fps: float) -> float:
        """Seconds that a player waits in all, when each wait shifts everything that follows."""
        return max(end - due for end, due in zip(self.ends, self.due(fps), strict=True))


OUTPUTS = {
    "rate": Output("frames/s", +1, title="frames per second"),
    "steady rate": Output("frames/s", +1, title="the same once the memory is full"),
    "first": Output("s", -1, title="until the first frame"),
    "p50": Output("s", -1, title="a piece takes, median"),
    "p90": Output("s", -1, title="90 % of pieces take at most"),
    "p99": Output("s", -1, title="99 % of pieces take at most"),
    "on time": Output("share of pieces", +1, title="there before they are due"),
    "stalls": Output("s", -1, title="a player waits per video"),
    "real time": Output("video s/s", +1, title="seconds of video made in a second"),
}


def summary(videos: Sequence[Watched], fps: float, steady: int) -> dict[str, float | None]:
    """The numbers of OUTPUTS of videos that were made one after the other. Latencies are those of the pieces after the first
    and, where the memory is full from piece `steady` on (-1: never), of those. None: a video of one piece has none."""
    start = max(1, steady)
    gaps = sorted(gap for video in videos for gap in video.gaps[start - 1 :])
    pieces = sum(len(video.frames) - 1 for video in videos)
    rate = statistics.median(video.rate for video in videos)
    return {
        "rate": rate,
        "steady rate": statistics.median(video.rate_from(start) for video in videos) if gaps and steady > 0 else None,
        "first": statistics.median(video.ends[0] for video in videos),
        **{f"p{q}": quantile(gaps, q / 100) for q in (50, 90, 99)},
        "on time": 1 - sum(video.late(fps) for video in videos) / pieces if pieces else None,
        "stalls": statistics.fmean(video.stalls(fps) for video in videos),
        "real time": rate / fps,
    }


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest of `values` (ascending) that `share` of them do not exceed; never a value between two."""
    if not values:
        return None
    return values[min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))]
