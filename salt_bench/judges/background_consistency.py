"""Background consistency: does the scene stay the same behind the subject? VBench's formula on another network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.appearance import consistency, protocol, scenery
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class BackgroundConsistency(Judge):
    """As `subject_consistency`, on the four frames with the subject painted over by the fitted scene.

    VBench shows whole frames to CLIP; painting over makes the score blind to the subject. The scene is a plane of colour:
    on textured backgrounds the texture stays where it is not taken for the subject.
    """

    name: ClassVar[str] = "background_consistency"
    # the margin is a tenth of what a drift of the scene by 60 grey levels costs (.07), rounded down
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1", +1, 0.005, title="Background consistency")}
    detects: ClassVar[tuple[str, ...]] = ("background_drift", "hard_cut")
    ignores: ClassVar[tuple[str, ...]] = ("color_flip", "brighten", "mirror", "reverse")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        return {"score": consistency(scenery(features))}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, **protocol()}
