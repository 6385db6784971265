"""The exact judge of the embedded world: what a clip shows, read from its pixels without a network, against what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.reading import ATTRIBUTES, caption, compare, read
from salt_bench.types import ArrayClip, Clip, Output
from salt_bench.worlds.shapes import ShapesWorld


@dataclass(frozen=True)
class ShapesJudge(Judge):
    """1 where an attribute of the caption is true of the clip, else 0; `accuracy` is the mean over those that apply."""

    name: ClassVar[str] = "shapes"
    outputs: ClassVar[Mapping[str, Output]] = {"accuracy": Output("share", +1, 0.02, title="attribute accuracy")} | {
        a: Output("share", +1, 0.03, title=f"{a} accuracy") for a in ATTRIBUTES
    }
    detects: ClassVar[tuple[str, ...]] = (
        "freeze", "reverse", "shuffle_frames", "color_flip", "background_drift", "hard_cut", "double", "break_apart", "vanish",
    )  # fmt: skip
    ignores: ClassVar[tuple[str, ...]] = ("flicker", "noise", "stutter")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        found = features.get("shapes.reading", lambda: read(features.pixels))
        right = compare(found, caption(clip.prompt))
        return {"accuracy": float(np.mean(list(right.values()))), **{k: float(v) for k, v in right.items()}}

    @classmethod
    def examples(cls) -> list[Clip]:
        """True clips, on which the corruptions above are checked."""
        world = ShapesWorld()
        prompts = [p for p in world.prompts("validation") if p.factors["motion"] != "still"][:24]
        return [ArrayClip(p, 0, v, world.fps) for p, v in zip(prompts, world.render(prompts, 0), strict=True)]
