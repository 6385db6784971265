"""Prompts of a synthetic world as condition embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from salt_bench.types import Prompt
from salt_bench.worlds.base import World


class Captions:
    """Each slot of a caption is a token that marks its features (one per "feature=value"), as a contextual text encoder would
    say them together; the last feature alone marks "no caption", for guidance."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.index = {word: i for i, word in enumerate(world.vocabulary())}
        self.words = len(self.index) + 1

    def __call__(self, prompts: Sequence[Prompt]) -> Tensor:
        """(B, slots, words) float32."""
        slots = [self.world.slots(p) for p in prompts]
        out = torch.zeros(len(prompts), len(slots[0]), self.words)
        for b, tokens in enumerate(slots):
            for s, token in enumerate(tokens):
                for feature, value in token.items():
                    out[b, s, self.index[f"{feature}={value}"]] = 1
        return out

    def ready(self, prompts: Sequence[Prompt]) -> int:
        """How many captions had to be read first: none, nothing encodes them."""
        return 0

    def null(self, like: Tensor) -> Tensor:
        """The embedding of no caption, shaped like `like`."""
        out = torch.zeros_like(like)
        out[..., -1] = 1
        return out
