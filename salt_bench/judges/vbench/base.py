"""What a VBench dimension is: passes over a video's frames, each made once however many dimensions read it, then arithmetic.

A pass streams: it takes the frames that it asked for in order, block by block, and may say that it has seen enough. What it
leaves behind is a few small arrays, which are kept by the video's and the weights' digests; a dimension turns them into one
number with nothing but arithmetic and the prompt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from salt_bench.errors import UserError


class Refused(UserError):
    """What a pass raises for a video that it cannot look at; the message becomes the note of the video's row."""


@dataclass(frozen=True)
class Setup:
    """Where and how networks run: the folder of weights in the official cache layout, "cpu" or "cuda", and the precision of
    CLIP ("fp32" or, as the official judges run it on CUDA, "fp16")."""

    weights: Path
    device: str = "cpu"
    precision: str = "fp32"


@dataclass(frozen=True)
class Span:
    """A clip of a longer video: its frames [first, end), the `name` of the clip in it, and how it is encoded again before it is
    judged ("none", or a name of `recoding.ENCODINGS`)."""

    first: int
    end: int
    name: str
    encoding: str = "none"

    def key(self) -> str:
        return f"{self.first}:{self.end}:{self.encoding}"


@dataclass(frozen=True)
class Video:
    """What is known of a video before its frames are seen. `frames` counts them (after decoding, not as the container says),
    `fps` is the stream's average rate; `text` is the prompt and `index` the sample number in its file name; `auxiliary` is the
    prompt's `auxiliary_info` in the suite; `image` is the picture that it was made from, if any. A clip of a longer video
    says by `span` which it is; all else is said of the clip, whose first frame is frame 0."""

    path: Path
    frames: int
    height: int
    width: int
    fps: float
    text: str = ""
    index: int = 0
    auxiliary: Mapping[str, Any] = field(default_factory=dict)
    image: Path | None = None
    span: Span | None = None


Found = Mapping[str, np.ndarray]
"""What a pass leaves behind: small arrays by name."""


class Running(ABC):
    """A pass in the middle of one video."""

    @abstractmethod
    def take(self, frames: np.ndarray) -> bool:
        """The next frames, uint8 RGB (t, H, W, 3); False once the result can no longer change (an exact early exit)."""

    @abstractmethod
    def result(self) -> Found:
        """What was found; called once, after the last frame or the early exit."""


class Pass(ABC):
    """One way to look at a video's frames, with a network or without. Made once per process and used for many videos."""

    name: ClassVar[str]
    weights: ClassVar[tuple[str, ...]] = ()
    """The names of its weight files, see `weights.py`."""
    size: ClassVar[tuple[int, int] | None] = None
    """(height, width) that the decoder's own bilinear scaler brings frames to; None for frames as they are."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    @classmethod
    def reads(cls, video: Video) -> str:
        """What it reads besides frames (a text): a part of the key under which its result is kept. Asked before it is made, so
        that no network is loaded for what is known already."""
        return ""

    def chosen(self, video: Video) -> Sequence[int] | None:
        """Which frames it wants, ascending, repeats allowed; None for all."""
        return None

    @abstractmethod
    def start(self, video: Video) -> Running: ...


class Frameless(Pass):
    """A pass that looks at no frame: it reads something else, see `reads`."""

    def chosen(self, video: Video) -> Sequence[int]:
        return ()

    def start(self, video: Video) -> Running:
        return _Unseen(self, video)

    @abstractmethod
    def found(self, video: Video) -> Found:
        """What it finds."""


class _Unseen(Running):
    def __init__(self, look: Frameless, video: Video) -> None:
        self.look, self.video = look, video

    def take(self, frames: np.ndarray) -> bool:
        return False

    def result(self) -> Found:
        return self.look.found(self.video)


@dataclass(frozen=True)
class Judged:
    """A dimension's word on one video: `value` as the official per-video result (None: left out, `note` says why), the `weight`
    with which it counts in the dataset's mean, and `extra`, what the official result file carries beside it."""

    value: float | None
    weight: float = 1.0
    note: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


class Dimension(ABC):
    """One of VBench's dimensions: arithmetic on what its passes found."""

    name: ClassVar[str]
    """The official name, e.g. "subject_consistency"."""
    passes: ClassVar[tuple[type[Pass], ...]]
    commercial: ClassVar[bool] = True
    """False where the licence of its weights forbids commercial use: it then runs only when it is asked for by name."""

    def wants(self, video: Video) -> tuple[type[Pass], ...]:
        """Those of `passes` that this video needs, its size known."""
        return self.passes

    @abstractmethod
    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged: ...


def middle(frames: int, count: int) -> tuple[int, ...]:
    """`count` frames from the middles of as many equal stretches; a short video repeats its last one (VBench's "middle-N")."""
    pieces = min(count, frames)
    edges = np.linspace(0, frames, pieces + 1).astype(int)
    chosen = [int(a + b - 1) // 2 for a, b in pairwise(edges)]
    return (*chosen, *chosen[-1:] * (count - pieces))
