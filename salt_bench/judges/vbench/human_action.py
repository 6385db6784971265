"""Human action: is the action that the prompt names among those that UMT is sure to see?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch

from salt_bench.judges.vbench import kinetics, official
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Running, Setup, Video, middle
from salt_bench.judges.vbench.networks import umt
from salt_bench.judges.vbench.resizing import IMAGENET, centre, floats, normalised, short
from salt_bench.prompts import data

SHORT, KEPT = 256, 8
BEST, SURE = 5, 0.85
"""A label counts where it is among the five best and its probability, rounded to four decimals, is at least 0.85."""


class UmtPass(Pass):
    """Probabilities of the actions: `probabilities`, float32 (400,), in the network's order; `labels` (8,) and `values`,
    float32 (8,), the names and probabilities of the best, falling."""

    name = "umt_actions"
    weights = ("umt",)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._labels = np.array(kinetics.read(official.lies(data.KINETICS, setup.weights)))
        self._network, self._device = umt.load(setup.weights / umt.FILE).to(setup.device), setup.device

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, umt.FRAMES)

    def start(self, video: Video) -> Running:
        return _Watching(self._network, self._device, self._labels)


class _Watching(Running):
    def __init__(self, network: umt.Umt, device: str, labels: np.ndarray) -> None:
        self._network, self._device, self._labels = network, device, labels
        self._seen: list[np.ndarray] = []

    def take(self, frames: np.ndarray) -> bool:
        self._seen += [shrunk(frame) for frame in frames]
        return True

    @torch.inference_mode()
    def result(self) -> Found:
        clip = normalised(centre(floats(np.stack(self._seen), self._device), umt.SIDE) / 255, IMAGENET)
        odds = self._network(clip.transpose(0, 1)[None])[0].sigmoid().cpu().numpy()
        best = np.argsort(-odds, kind="stable")[:KEPT]
        return {"probabilities": odds, "labels": self._labels[best], "values": odds[best]}


def shrunk(frame: np.ndarray) -> np.ndarray:
    """A frame, uint8 (H, W, 3), with its shorter side at 256. OpenCV's fixed-point weights: another bilinear differs by 1 in
    every eighth pixel."""
    height, width = short((frame.shape[0], frame.shape[1]), SHORT)
    return cv2.resize(np.ascontiguousarray(frame), (width, height), interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class HumanAction(Dimension):
    """1 where the action of the file's name is seen, else 0; for a set, the share of the former."""

    name: ClassVar[str] = "human_action"
    passes: ClassVar[tuple[type[Pass], ...]] = (UmtPass,)

    def __call__(self, video: Video, found: Mapping[type[Pass], Found]) -> Judged:
        seen = found[UmtPass]
        values = np.round(seen["values"][:BEST].astype(np.float64), 4)
        sure = [str(label) for label, value in zip(seen["labels"][:BEST], values, strict=True) if value >= SURE]
        right = action(video.path.name) in sure
        top = [[str(label), float(value)] for label, value in zip(seen["labels"], seen["values"], strict=True)]
        return Judged(float(right), extra={"cor_num_per_video": int(right), "top": top})


def action(name: str) -> str:
    """The action that a file is named after: "A person is clapping-0.mp4" shows "clapping"."""
    return name.lower().split("-")[0].split("person is ")[-1].split("_")[0]
