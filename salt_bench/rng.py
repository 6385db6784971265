"""Named randomness: every draw has a name, and the name alone decides its value.

A `Draws` is a path of names that starts with a seed. Two draws with the same path are equal, in whatever order, batch or
process they are made; no generator state is ever stored, so a resumed run needs none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draws:
    """A name for randomness: `Draws(0)("noise", prompt.id).normal((16, 6, 6, 6))`."""

    seed: int
    path: tuple[str | int, ...] = ()

    def __call__(self, *names: str | int) -> Draws:
        """The draws one level down: the same names always give the same draws."""
        return Draws(self.seed, self.path + names)

    def generator(self) -> np.random.Generator:
        """A fresh numpy generator that starts at this name (Philox keyed by a 128-bit BLAKE2b digest of the path)."""
        text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (self.seed, *self.path))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Standard normal float32 values of `shape`."""
        return self.generator().standard_normal(shape, dtype=np.float32)

    def uniform(self) -> float:
        """One float64 in [0, 1)."""
        return float(self.generator().random())

    def choice(self, n: int) -> int:
        """One integer in [0, n)."""
        if n < 1:
            raise ValueError(f"a choice needs at least one option, got {n}")
        return int(self.generator().integers(n))
