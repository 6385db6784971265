"""Style: do the frames have the colours and the scene that were asked for? VBench's formula on a small model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared import captions
from salt_bench.judges.shared.semantic import asked, examples, protocol, read, seen
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class Style(Judge):
    """The mean over four evenly spaced frames of the cosine of a frame with the style's words ("red and blue at night"),
    unclamped, as VBench's appearance style over all frames."""

    name: ClassVar[str] = "style"
    # the margin is a fifth of what a wrong scene costs (.27); a wrong colour costs .38
    outputs: ClassVar[Mapping[str, Output]] = {"score": Output("1", +1, 0.05, title="Style")}
    detects: ClassVar[tuple[str, ...]] = (
        "color_flip", "background_drift", "hard_cut", "double", "break_apart", "vanish", "fade",
    )  # fmt: skip
    ignores: ClassVar[tuple[str, ...]] = (
        "flicker", "jitter", "noise", "freeze", "stutter", "shuffle_frames", "reverse", "mirror", "blur", "brighten", "darken",
        "defocus", "seams", "frozen_tail", "lag", "loop",
    )  # fmt: skip

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        words = captions.style(asked(clip.prompt).factors)
        return {"score": float((seen(features).frames @ read(words)).mean())}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, **protocol()}

    @classmethod
    def examples(cls) -> list[Clip]:
        return examples()
