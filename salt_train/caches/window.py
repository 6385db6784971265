"""The latest frames and, as sinks, the very first ones (LongLive: window 12, sink 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salt_train.caches.base import CachePolicy


@dataclass(frozen=True)
class Window(CachePolicy):
    """Attends to `window` frames in all: the first `sink` frames of the video, the latest ones, and the chunk itself. At a
    prompt switch sinks stay as the old caption made them, or are replayed with the rest (`replay_sinks`)."""

    window: int = 12
    sink: int = 0
    replay_sinks: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.sink < self.window:
            raise ValueError(
                f"a window holds its sinks and more, 0 ≤ sink < window, got sink {self.sink}, window {self.window}"
            )

    def kept(self, seen: int, new: int) -> tuple[int, ...]:
        if new > self.window - self.sink:
            raise ValueError(f"a chunk fits into the window beside its sinks, {self.window} - {self.sink}, got {new} frames")
        latest = range(max(0, seen + new - (self.window - self.sink)), seen)
        return (*range(min(self.sink, latest.start)), *latest)

    def stays(self, frames: Sequence[int]) -> tuple[int, ...]:
        return () if self.replay_sinks else tuple(f for f in frames if f < self.sink)
