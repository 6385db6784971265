"""A trained network as a sampler that a probe can stop, branch and decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_bench.types import ArrayClip, Clip, Prompt, State
from salt_train import checkpoint, codecs
from salt_train.backbones.base import Backbone, frozen
from salt_train.codecs.captions import Captions
from salt_train.codecs.pca import PCAWeights
from salt_train.flow import move
from salt_train.objectives.dmd import guided_velocity
from salt_train.recipe import Recipe, Sampling
from salt_train.rollout import Renoise, level

BATCH = 64


@dataclass(frozen=True, eq=False)
class Context:
    """What a state carries besides x: the caption's embedding and the sources of its noise."""

    cond: Tensor
    renoise: Renoise


@dataclass(frozen=True, eq=False)
class FlowSampler:
    """Runs `net` down `sampling.grid`. The initial noise of a clip is named by (sample seed, prompt), so every model, grid and
    batch starts the same clip from the same noise. Clips agree between batch sizes to float32 rounding: at most one grey
    level on a few pixels."""

    net: Backbone
    codec: PCAWeights
    captions: Captions
    sampling: Sampling

    @classmethod
    def load(cls, recipe: Recipe, root: Path) -> FlowSampler:
        """The finished checkpoint of `recipe` under `root` or in the package.

        Raises CheckpointError where it is missing, damaged or of another shape."""
        folder = checkpoint.find(recipe.fingerprint(), root)
        if folder is None:
            raise checkpoint.CheckpointError(f"no checkpoint {recipe.fingerprint()} under {root}; train it first")
        codec, captions = codecs.fitted(recipe.codec, root), Captions(recipe.world)
        net = recipe.backbone.build(recipe.codec.shape(), captions.words, codec.std)
        checkpoint.fill(net, folder)
        return cls(frozen(net), codec, captions, recipe.sampling)

    @property
    def grid(self) -> tuple[float, ...]:
        return self.sampling.grid

    @property
    def nfe(self) -> int:
        """Network evaluations of one clip; a guided step costs two."""
        return len(self.grid) * (1 if self.sampling.guidance == 1 else 2)

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        for first in range(0, len(prompts), BATCH):
            batch = prompts[first : first + BATCH]
            *_, final = self.path(batch, seed)
            for prompt, pixels in zip(batch, self.decode(final), strict=True):
                yield ArrayClip(prompt, seed, pixels, self.codec.codec.world.fps, self.nfe)

    def path(self, prompts: Sequence[Prompt], seed: int) -> Iterator[State]:
        sources = tuple(Draws(seed)("sample", p.id) for p in prompts)
        noise = torch.stack([torch.from_numpy(s("noise").normal(self.codec.codec.shape())) for s in sources])
        state = State(noise, 1.0, context=Context(self.captions(prompts), Renoise(sources)))
        for sigma, following in zip(self.grid, (*self.grid[1:], 0.0), strict=True):
            yield state
            state = self._step(state, sigma, following)
        yield state

    def _step(self, state: State, sigma: float, following: float) -> State:
        if self.sampling.update == "ode" or following == 0:
            return self.move(state, sigma, following)
        x0 = self.move(state, sigma, 0.0).x
        fresh = state.context.renoise(x0, 0, following)
        return replace(state, x=(1 - following) * x0 + following * fresh, sigma=following)

    def move(self, state: State, start: float, end: float) -> State:
        return replace(state, x=move(state.x, self.velocity(state, start), start, end), sigma=end)

    def velocity(self, state: State, sigma: float) -> Tensor:
        """v_θ(x, σ) under this sampler's guidance, (B, C, F, H, W), without gradient."""
        cond = state.context.cond
        with torch.inference_mode():
            return guided_velocity(
                self.net, state.x, level(sigma, state.x), cond, self.captions.null(cond), self.sampling.guidance
            )

    def decode(self, state: State) -> np.ndarray:
        with torch.inference_mode():
            return self.codec.decode(state.x).numpy()
