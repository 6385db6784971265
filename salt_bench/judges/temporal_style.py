"""Temporal style: does the clip move as it was asked to? VBench's formula on the world's own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared import captions
from salt_bench.judges.shared.semantic import asked, examples, protocol, read, seen
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class TemporalStyle(Judge):
    """The cosine of the clip with the words for its motion ("moving left"), unclamped. VBench reads the whole prompt, of which
    only these words are about time."""

    name: ClassVar[str] = "temporal_style"
    # the margin is a fifth of what a wrong motion costs (.29)
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1", +1, 0.05, title="Temporal style")}
    detects: ClassVar[tuple[str, ...]] = (
        "freeze", "shuffle_frames", "reverse", "mirror", "hard_cut", "double", "break_apart", "vanish", "fade", "loop",
    )  # fmt: skip
    ignores: ClassVar[tuple[str, ...]] = (
        "flicker", "jitter", "noise", "stutter", "blur", "brighten", "darken", "color_flip", "background_drift", "defocus",
        "seams",
    )  # fmt: skip

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        words = captions.motion(asked(clip.prompt).factors)
        return {"score": float(seen(features).video @ read(words))}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, **protocol()}

    @classmethod
    def examples(cls) -> list[Clip]:
        return examples()
