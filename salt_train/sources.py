"""What networks start from: files, as a run has them. Another source of the same things serves trials (`made_up.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from salt_train import codecs
from salt_train.recipe import Recipe, stored
from salt_train.weights import Weights


class Source(Protocol):
    """What building the networks of a recipe asks for."""

    def std(self, recipe: Recipe) -> Tensor:
        """Standard deviation of each channel of its latents (C,)."""

    def words(self, recipe: Recipe) -> int:
        """The width of its captions' embeddings."""

    def weights(self, stage: Recipe) -> Weights:
        """Those of a stage that was trained before, or is published."""


@dataclass(frozen=True)
class Files:
    """Checkpoints and codecs under `root` or in the package; published ones where they lie."""

    root: Path

    def std(self, recipe: Recipe) -> Tensor:
        return codecs.fitted(recipe.codec, self.root).std

    def words(self, recipe: Recipe) -> int:
        return codecs.captions(recipe.world, recipe.text).words

    def weights(self, stage: Recipe) -> Weights:
        return stored(stage, self.root)
