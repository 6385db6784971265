"""Diversity: how different the clips of a set are from each other, as a share of the world's own diversity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import pdist

from salt_bench.judges.base import Features
from salt_bench.judges.shared import appearance, motion
from salt_bench.setjudges.base import SetJudge
from salt_bench.setjudges.summary import BLOCKS, scaled, summary
from salt_bench.types import Clip, Output


@dataclass(frozen=True)
class Diversity(SetJudge):
    """Mean distance between two clips of the set over the same mean in the reference: 0 where all clips are one, 1 where they
    differ as much as the truth does.

    Above 1 is no virtue (noise is diverse too): read it beside the Fréchet distance. The prompts differ, so this
    sees a model that stops listening or always draws alike, not the spread within one prompt.
    """

    name: ClassVar[str] = "diversity"
    outputs: ClassVar[Mapping[str, Output]] = {"distance": Output("of the reference's", +1, 0.05, title="Diversity")}

    def feature(self, clip: Clip, features: Features) -> np.ndarray:
        return summary(clip, features)

    def compare(self, sample: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
        if min(len(sample), len(reference)) < 2:
            return {"distance": None}
        ours, theirs = (pdist(points).mean() for points in scaled(sample, reference))
        return {"distance": float(ours / theirs) if theirs > 0 else None}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "parts": list(BLOCKS), **appearance.protocol(), **motion.PROTOCOL}
