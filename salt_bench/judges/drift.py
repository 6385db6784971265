"""Drift: does a long clip end as true and as sharp as it began? The exact judge and the sharpness, window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.edges import steepness
from salt_bench.judges.shared.reading import caption, compare, read
from salt_bench.types import ArrayClip, Clip, Output
from salt_bench.worlds.shapes import ShapesWorld

WINDOW = ShapesWorld.frames
"""Frames of a window: the length of the world's own videos. Frames behind the last whole window are left out."""


@dataclass(frozen=True)
class Drift(Judge):
    """Over consecutive windows w = 0 … W-1 of 12 frames, with a_w in [0, 1] the share of the caption's attributes that are true
    of the window: `start` = a_0, `end` = a_(W-1), and `slope`, the least-squares slope of a_w over the time of the window, in
    shares per second (below 0: it gets worse). `sharp_…` are the same of the sharpness of edges, in 1/px, 0 or more.

    "Motion" counts where the caption says "still": what moves has to turn back in a long clip, so that no other motion is true
    of every window. A clip of fewer than two windows is refused, and so is a caption that changes.
    """

    name: ClassVar[str] = "drift"
    # the margins: those of the exact judge and of sharpness (5% of the truth's .6 per px), and for the slopes as much in 5 s
    outputs: ClassVar[Mapping[str, Output]] = {
        "start": Output("share", +1, 0.02, title="Accuracy of the first window"),
        "end": Output("share", +1, 0.02, title="Accuracy of the last window"),
        "slope": Output("share/s", +1, 0.004, title="Drift of the accuracy"),
        "sharp_start": Output("1/px", +1, 0.03, title="Sharpness of the first window"),
        "sharp_end": Output("1/px", +1, 0.03, title="Sharpness of the last window"),
        "sharp_slope": Output("1/px/s", +1, 0.006, title="Drift of the sharpness"),
    }
    detects: ClassVar[tuple[str, ...]] = ("fade", "defocus", "vanish", "background_drift", "hard_cut", "color_flip")
    ignores: ClassVar[tuple[str, ...]] = ("flicker", "brighten", "frozen_tail", "reverse")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        asked, frames = caption(clip.prompt), len(features.pixels)
        if frames < 2 * WINDOW:
            raise ValueError(f"a drift shows over two windows of {WINDOW} frames, and the clip has {frames} frames")
        views = [features.pixels[first : first + WINDOW] for first in range(0, frames - WINDOW + 1, WINDOW)]
        true, sharp = [_accuracy(view, asked) for view in views], [steepness(view) for view in views]
        return {
            "start": true[0], "end": true[-1], "slope": slope(true, WINDOW / clip.fps),
            "sharp_start": sharp[0], "sharp_end": sharp[-1], "sharp_slope": slope(sharp, WINDOW / clip.fps),
        }  # fmt: skip

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "window": WINDOW}

    @classmethod
    def examples(cls) -> list[Clip]:
        """True clips of three windows, of things that stand still and of things that move."""
        world = ShapesWorld()
        prompts = world.prompts("validation")[:12]
        return [ArrayClip(p, 0, v, world.fps) for p, v in zip(prompts, world.render(prompts, 0, 36), strict=True)]


def slope(values: Sequence[float], step: float) -> float:
    """The least-squares slope of two or more values that are `step` seconds apart, per second."""
    time = step * (np.arange(len(values)) - (len(values) - 1) / 2)
    return float(time @ np.array(values) / (time @ time))


def _accuracy(view: np.ndarray, asked: Mapping[str, str]) -> float:
    right = compare(read(view), asked)
    if asked["motion"] != "still":
        del right["motion"]
    return float(np.mean(list(right.values())))
