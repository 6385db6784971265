"""Subject consistency: does the picture keep looking like itself? VBench's formula on another network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.appearance import appearance, consistency, protocol
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class SubjectConsistency(Judge):
    """Mean cosine of a frame's features to the previous and to the first frame's, in [0, 1], over four whole frames.

    Whole frames as in VBench (a crop around the subject separated no better); EfficientNet-Lite0 instead of DINO.
    """

    name: ClassVar[str] = "subject_consistency"
    # the margin is a fifth of what a change of the subject's colour half-way costs (.025)
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1", +1, 0.005, title="Subject consistency")}
    detects: ClassVar[tuple[str, ...]] = ("color_flip", "hard_cut", "background_drift")
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "mirror", "reverse")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        return {"score": consistency(appearance(features))}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, **protocol()}
