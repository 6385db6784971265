"""Training captions in a text file, one per line: all that a method needs that learns from its own rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from salt_bench.errors import UserError
from salt_bench.rng import Draws
from salt_bench.types import Prompt


@dataclass(frozen=True)
class PromptFile:
    """A world of captions without videos of them. `path` is a UTF-8 text file; empty lines do not count."""

    path: str
    name: ClassVar[str] = "prompt_file"

    def prompts(self, split: str) -> tuple[Prompt, ...]:
        """Every caption in the file's order, under its line number; "train" is the only split."""
        if split != "train":
            raise UserError(f"a prompt file has training captions only, got split {split!r}; give others by --captions FILE")
        return tuple(Prompt(f"{self.name}:{line}", text, self.name) for line, text in _lines(self.path))

    def batch(self, draws: Draws, size: int) -> list[Prompt]:
        """`size` captions, drawn with replacement."""
        known = self.prompts("train")
        return [known[i] for i in draws.generator().integers(len(known), size=size)]

    def render(self, prompts: Sequence[Prompt], seed: int, frames: int | None = None) -> np.ndarray:
        raise UserError(
            f"{self.path} has captions and no videos of them: a term that learns from true videos (teacher forcing, "
            "consistency distillation, causal ODE regression) needs a world that has them"
        )

    def parts(self, prompt: Prompt) -> tuple[tuple[int, Prompt], ...]:
        return ((0, prompt),)

    def endless(self, prompt: Prompt) -> bool:
        """A caption in plain words says nothing of its length."""
        return True


@lru_cache(maxsize=4)
def _lines(path: str) -> tuple[tuple[int, str], ...]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"no captions in {path}: {error.strerror}; name a text file with one caption per line") from None
    found = tuple((n, line.strip()) for n, line in enumerate(text.splitlines(), start=1) if line.strip())
    if not found:
        raise UserError(f"{path} holds no caption; it has one per line")
    return found
