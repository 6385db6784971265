"""Overall consistency: does the clip show its caption? VBench's formula on the world's own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.semantic import asked, examples, protocol, read, seen
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class OverallConsistency(Judge):
    """The cosine of the clip with its whole caption, unclamped. It cannot see which of two objects has which colour or shape:
    see the table in `judges.networks.shapes_clip`."""

    name: ClassVar[str] = "overall_consistency"
    # the margin is a fifth of what a wrong shape or size costs (.155), the least of all things that the model sees
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1", +1, 0.03, title="Overall consistency")}
    detects: ClassVar[tuple[str, ...]] = (
        "jitter", "freeze", "shuffle_frames", "reverse", "mirror", "blur", "color_flip", "background_drift", "hard_cut",
        "double", "break_apart", "vanish", "fade", "defocus", "frozen_tail", "lag", "loop",
    )  # fmt: skip
    ignores: ClassVar[tuple[str, ...]] = ("flicker", "noise", "stutter", "brighten", "darken", "seams")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        return {"score": float(seen(features).video @ read(asked(clip.prompt).text))}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, **protocol()}

    @classmethod
    def examples(cls) -> list[Clip]:
        return examples()
