"""What a set judge is: the features of many clips against those of a reference set, to named numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from salt_bench.judges.base import Features
from salt_bench.types import Clip, Output


class SetJudge(ABC):
    """Two sets of clips to a number. `feature` runs once per clip and shares the clip's memo with the judges."""

    name: ClassVar[str]
    outputs: ClassVar[Mapping[str, Output]]

    @abstractmethod
    def feature(self, clip: Clip, features: Features) -> np.ndarray:
        """float64 (D,)."""

    @abstractmethod
    def compare(self, sample: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
        """`sample` (N, D), in prompt order, against `reference` (M, D), the world's truth; one value per output."""

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name}
