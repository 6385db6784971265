"""A window whose positions count from its own first frame, so that a video may go on for ever (Infinity-RoPE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from salt_train.caches.window import Window


@dataclass(frozen=True)
class Relative(Window):
    """Like `Window`, but the frames that a chunk sees are placed at 0, 1, 2 … in their order, the chunk's own last: the sinks
    never drift away, and no position exceeds the window."""

    moving: ClassVar[bool] = True

    def places(self, past: Sequence[int], seen: int, new: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(range(len(past))), tuple(range(len(past), len(past) + new))
