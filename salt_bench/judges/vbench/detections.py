"""What GRiT sees in 16 frames: boxes with their names and descriptions, the one pass of four dimensions.

Frames keep their size up to a shorter side of 768 pixels. Larger ones are brought to 720, by the tensors' scaler for all
dimensions but color, which takes OpenCV's: only there do two passes differ. The first of them depends, officially, on the
version of torchvision; here it is the one since 0.17, which filters before it takes pixels away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from salt_bench.judges.vbench.base import Found, Judged, Pass, Running, Setup, Video, middle
from salt_bench.judges.vbench.networks.wordpiece import WordPiece

if TYPE_CHECKING:
    import torch

    from salt_bench.judges.vbench.networks.grit.model import Seen

WEIGHTS = Path("grit_model", "grit_b_densecap_objectdet.pth")
VOCABULARY = Path("bert-base-uncased", "vocab.txt")
FRAMES = 16
LARGE = 768
TARGET = 720
AT_ONCE = 4


@dataclass(frozen=True)
class Instance:
    """One thing in one frame: its box in whole pixels of what the network saw (cut, not rounded), what it is, how it looks."""

    box: tuple[int, ...]
    score: float
    name: str
    description: str


Look = Callable[[np.ndarray], list[list[Instance]]]
"""Frames, uint8 (t, H, W, 3), to each one's instances, best first."""


def large(height: int, width: int) -> bool:
    """Whether frames are scaled down before the network sees them."""
    return min(height, width) > LARGE


def target(height: int, width: int) -> tuple[int, int]:
    """The size that a large frame is brought to; fractions of a pixel are cut."""
    scale = TARGET / min(height, width)
    return int(height * scale), int(width * scale)


def as_tensor(frames: np.ndarray) -> torch.Tensor:
    """uint8 (t, H, W, 3) to float (t, 3, H, W)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()


def in_float(frames: np.ndarray) -> torch.Tensor:
    """Frames as the network takes them, large ones scaled as tensors, filtered and not rounded."""
    import torch.nn.functional as F

    height, width = frames.shape[1:3]
    if not large(height, width):
        return as_tensor(frames)
    return F.interpolate(as_tensor(frames), size=target(height, width), mode="bilinear", align_corners=False, antialias=True)


def in_bytes(frames: np.ndarray) -> torch.Tensor:
    """The same, with large frames scaled by OpenCV, unfiltered and rounded."""
    import cv2

    height, width = frames.shape[1:3]
    if large(height, width):
        size = target(height, width)[::-1]
        frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames])
    return as_tensor(frames)


@dataclass(frozen=True)
class Network:
    """GRiT behind a way to bring frames to its size."""

    weights: Path
    device: str
    scaled: Callable[[np.ndarray], torch.Tensor]

    @cached_property
    def words(self) -> WordPiece:
        return WordPiece(self.weights / VOCABULARY)

    def __call__(self, frames: np.ndarray) -> list[list[Instance]]:
        from salt_bench.judges.vbench.networks.grit.checkpoint import load

        network = load(self.weights / WEIGHTS, self.device)
        return [list(self._instances(seen)) for seen in network(self.scaled(frames).to(self.device))]

    def _instances(self, seen: Seen) -> Iterator[Instance]:
        rows = (seen.boxes.int(), seen.scores, seen.names, seen.descriptions)
        for box, score, name, description in zip(*(row.tolist() for row in rows), strict=True):
            yield Instance(tuple(box), score, self.words.decode(name), self.words.decode(description))


@dataclass
class Looking(Running):
    """Looks at every frame that differs from the one before, a few at once."""

    look: Look
    seen: list[list[Instance]] = field(default_factory=list)
    last: np.ndarray | None = None

    def take(self, frames: np.ndarray) -> bool:
        before = [self.last, *frames[:-1]]
        new = [old is None or not np.array_equal(old, frame) for old, frame in zip(before, frames, strict=True)]
        fresh = self._fresh(frames[new])
        for differs in new:
            self.seen.append(next(fresh) if differs else self.seen[-1])
        self.last = frames[-1].copy()
        return True

    def _fresh(self, frames: np.ndarray) -> Iterator[list[Instance]]:
        for start in range(0, len(frames), AT_ONCE):
            yield from self.look(frames[start : start + AT_ONCE])

    def result(self) -> Found:
        return packed(self.seen)


def packed(frames: Sequence[Sequence[Instance]]) -> Found:
    """Instances as arrays, frame by frame: "frame" (n,), "box" (n, 4), "score", "name" and "description" (n,); and "frames",
    how many there are."""
    every = [(number, one) for number, frame in enumerate(frames) for one in frame]
    return {
        "frames": np.array(len(frames)),
        "frame": np.array([number for number, _ in every], dtype=np.int64),
        "box": np.array([one.box for _, one in every], dtype=np.int64).reshape(-1, 4),
        "score": np.array([one.score for _, one in every], dtype=np.float32),
        "name": np.array([one.name for _, one in every], dtype=np.str_),
        "description": np.array([one.description for _, one in every], dtype=np.str_),
    }


def unpacked(found: Found) -> list[list[Instance]]:
    """The reverse of `packed`: each frame's instances."""
    frames: list[list[Instance]] = [[] for _ in range(int(found["frames"]))]
    columns = (found[name].tolist() for name in ("frame", "box", "score", "name", "description"))
    for number, box, score, name, description in zip(*columns, strict=True):
        frames[number].append(Instance(tuple(box), score, name, description))
    return frames


def shown(names: Set[str], found: Found) -> Judged:
    """The share of frames that show all of `names`, each as the name of some instance."""
    frames = [names <= {one.name for one in frame} for frame in unpacked(found)]
    extra = {"success_frame_count": sum(frames), "frame_count": len(frames)}
    return Judged(sum(frames) / len(frames), weight=len(frames), extra=extra)


class Detections(Pass):
    """What GRiT sees, large frames scaled as tensors."""

    name: ClassVar[str] = "grit"
    weights: ClassVar[tuple[str, ...]] = ("grit", "bert_vocab")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.network = Network(setup.weights, setup.device, in_float)

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, FRAMES)

    def start(self, video: Video) -> Looking:
        return Looking(self.network)


class OpenCVDetections(Pass):
    """What GRiT sees, large frames scaled by OpenCV; of small ones it sees what `Detections` does."""

    name: ClassVar[str] = "grit_opencv"
    weights: ClassVar[tuple[str, ...]] = ("grit", "bert_vocab")

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.network = Network(setup.weights, setup.device, in_bytes)

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, FRAMES)

    def start(self, video: Video) -> Looking:
        return Looking(self.network)
