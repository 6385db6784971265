"""Pairs of frames, and how far their fastest pixels move: shared by dynamic degree and the static filter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from salt_bench.judges.vbench import weights
from salt_bench.judges.vbench.base import Found, Refused, Running, Setup, Video
from salt_bench.judges.vbench.networks import raft
from salt_bench.judges.vbench.resizing import floats

Decided = Callable[[Sequence[float]], bool]
"""Whether what is known of the consecutive pairs already settles the video: then the rest cannot change a thing."""


class Speeds(Running):
    """pairs (n,): for each pair of consecutive frames, the mean speed in pixels of its fastest `share` of pixels, up to the
    batch that decided; ends (2,) or (0,): the same from the first frame to the last and back, where `ends` is asked for and
    nothing was decided before."""

    def __init__(self, setup: Setup, video: Video, share: float, decided: Decided, ends: bool = False) -> None:
        if min(video.height, video.width) <= raft.SMALLEST - 8:
            raise Refused(f"RAFT needs pictures of {raft.SMALLEST} pixels a side, got {video.width} x {video.height}")
        self.net = raft.load(weights.locate(setup.weights, "raft"), setup.device)
        self.device, self.share, self.decided, self.ends = setup.device, share, decided, ends
        self.batch = raft.pairs_at_once(video.height, video.width, setup.device)
        self.pairs: list[float] = []
        self.first: raft.Encoded | None = None
        self.last: raft.Encoded | None = None

    def take(self, frames: np.ndarray) -> bool:
        for start in range(0, len(frames), self.batch):
            now = self.net.encode(floats(frames[start : start + self.batch], self.device))
            self.pairs += raft.consecutive(self.net, self.last, now, self.share)
            self.first, self.last = (self.first or now[:1]) if self.ends else None, now[-1:]
            if self.decided(self.pairs):
                return False
        return True

    def result(self) -> Found:
        ends: list[float] = []
        if self.ends and self.first and self.last and not self.decided(self.pairs):
            for one, other in ((self.first, self.last), (self.last, self.first)):  # a batch of two may not fit
                ends += raft.top_mean(self.net.flow(one, other), self.share)
        return {"pairs": np.array(self.pairs), "ends": np.array(ends)}
