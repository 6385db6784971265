"""What a trial learns from where no files are: random weights of the real sizes, random embeddings for captions, noise for
latents. The embedded world is real; it needs no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_bench.types import Prompt
from salt_train import codecs
from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Recipe
from salt_train.steps import Steps
from salt_train.weights import Random


@dataclass(frozen=True)
class MadeUp:
    """A source of networks (`sources.Source`). A codec that is fitted lies under `root`."""

    root: Path

    def std(self, recipe: Recipe) -> Tensor:
        return codec(recipe, self.root).std

    def words(self, recipe: Recipe) -> int:
        return recipe.text.words if recipe.text else codecs.captions(recipe.world, None).words

    def weights(self, stage: Recipe) -> Random:
        return Random()


class MadeUpSteps(Steps):
    """`Steps` of such a recipe: the same shapes, from no file."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        made_up: Any = Sentences()
        self.recipe = replace(recipe, world=made_up) if isinstance(recipe.world, PromptFile) else recipe
        self.captions: Any = Embeddings(recipe.text) if recipe.text else codecs.captions(recipe.world, None)
        self.codec: Any = codec(recipe, root)


@dataclass(frozen=True)
class Sentences:
    """As many captions as one likes, and videos of them without a pixel."""

    name = "made up"

    def batch(self, draws: Draws, size: int) -> list[Prompt]:
        numbers = draws.generator().integers(2**31, size=size)
        return [Prompt(f"{self.name}:{n}", f"sentence {n}", self.name) for n in numbers]

    def endless(self, prompt: Prompt) -> bool:
        return True

    def render(self, prompts: Sequence[Prompt], seed: int) -> np.ndarray:
        return np.zeros((len(prompts), 0), dtype=np.uint8)


@dataclass(frozen=True)
class Embeddings:
    """Captions to normal numbers (B, tokens, words), the same for the same text."""

    spec: UMT5

    def __call__(self, prompts: Sequence[Prompt]) -> Tensor:
        return torch.stack([self._read(prompt.text) for prompt in prompts])

    def null(self, like: Tensor) -> Tensor:
        return self._read("").expand_as(like)

    def _read(self, text: str) -> Tensor:
        return torch.from_numpy(Draws(0)("caption", text).normal((self.spec.tokens, self.spec.words)))


@dataclass(frozen=True)
class Latents:
    """Stands for a VAE: whatever it is shown, its latents are noise of unit variance."""

    shape: tuple[int, int, int, int]

    @property
    def std(self) -> Tensor:
        return torch.ones(self.shape[0])

    def encode(self, frames: Tensor) -> Tensor:
        return torch.from_numpy(Draws(0)("latents", math.prod(self.shape)).normal((len(frames), *self.shape)))


def codec(recipe: Recipe, root: Path) -> Latents | codecs.Fitted:
    """What stands for the recipe's codec."""
    return Latents(recipe.codec.shape()) if isinstance(recipe.codec, WanVAE) else codecs.fitted(recipe.codec, root)
