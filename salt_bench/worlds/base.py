"""What a world is: prompts with factors, and videos of them that are true by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np

from salt_bench.rng import Draws
from salt_bench.types import Prompt


class World(Protocol):
    """A synthetic world with ground truth. `render` is deterministic per (prompt, seed) and vectorised over prompts."""

    name: ClassVar[str]

    @property
    def frames(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def fps(self) -> float: ...

    def prompts(self, split: str) -> tuple[Prompt, ...]:
        """The prompts of "train", "validation" or "test": disjoint, and always in the same order."""

    def batch(self, draws: Draws, size: int) -> list[Prompt]:
        """`size` training prompts, drawn as a trainer should see them."""

    def render(self, prompts: Sequence[Prompt], seed: int) -> np.ndarray:
        """uint8 (N, T, H, W, C): one true video per prompt, each a function of (prompt.id, seed) alone."""

    def slots(self, prompt: Prompt) -> tuple[Mapping[str, str], ...]:
        """The prompt as a few tokens, each a bag of features: what a contextual text encoder would hand to a network."""

    def vocabulary(self) -> tuple[str, ...]:
        """Every "feature=value" that `slots` can give, in a fixed order."""
