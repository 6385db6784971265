"""What a judge is: a clip in, named numbers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from salt_bench.types import Clip, Output


class Features:
    """A memo for one clip: what one judge computed, the next one reads. `pixels` is the whole clip, uint8 (T, H, W, C)."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._memo: dict[str, Any] = {}

    @property
    def pixels(self) -> np.ndarray:
        return self.get("pixels", self.clip.frames)

    def get(self, name: str, compute: Callable[[], Any]) -> Any:
        """The value called `name`, computed at most once per clip."""
        if name not in self._memo:
            self._memo[name] = compute()
        return self._memo[name]


class Judge(ABC):
    """A clip in, named numbers out. Stateless and deterministic; networks are loaded lazily, once per process."""

    name: ClassVar[str]
    outputs: ClassVar[Mapping[str, Output]]
    detects: ClassVar[tuple[str, ...]] = ()
    """Corruptions (names in `salt_bench.judges.corruptions`) that must move at least one output to the worse."""
    ignores: ClassVar[tuple[str, ...]] = ()
    """Corruptions that must leave every output where it was, within its margin."""

    @abstractmethod
    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        """One value per name in `outputs`; a part that does not apply to this clip is left out."""

    def protocol(self) -> dict[str, Any]:
        """What must be equal for two numbers of this judge to be comparable: settings and weight hashes."""
        return {"judge": self.name}
