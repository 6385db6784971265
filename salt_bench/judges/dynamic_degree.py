"""Dynamic degree: does anything move? VBench's rule on a classical flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.motion import PROTOCOL, motion
from salt_bench.types import Clip, Output

THRESHOLD = 8 * 6 / 256
"""Short sides per second: VBench asks for more than 6 pixels on a short side of 256 between frames 1/8 s apart."""


@dataclass(frozen=True)
class DynamicDegree(Judge):
    """`dynamic`: 1 where in at least a quarter of the F sampled frames the fastest 5% of the pixels move faster than
    0.1875 short sides per second (0.56 px per frame at 24 px and 8 fps), else 0. `magnitude`: that speed, averaged over time.

    The threshold is VBench's; the flow is DIS instead of RAFT. Jitter counts as motion, here as there.
    """

    name: ClassVar[str] = "dynamic_degree"
    # the margins: one clip in twenty that stops moving; a tenth of the threshold
    outputs: ClassVar[Mapping[str, Output]] = {
        "dynamic": Output("share of clips", +1, 0.05, title="Dynamic degree"),
        "magnitude": Output("short sides/s", 0, 0.02, title="Speed of the fastest 5% of the pixels"),
    }
    detects: ClassVar[tuple[str, ...]] = ("freeze",)
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "mirror")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        seen = motion(features)
        if seen is None:
            return {"dynamic": None, "magnitude": None}
        speeds = seen.speeds(clip.fps)
        needed = max(1, round((len(speeds) + 1) / 4))
        return {"dynamic": float((speeds > THRESHOLD).sum() >= needed), "magnitude": float(speeds.mean())}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "threshold": THRESHOLD, **PROTOCOL}
