"""A trained network as a sampler that a probe can stop, branch and decode."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_bench.types import ArrayClip, Clip, Prompt, State
from salt_train import checkpoint, codecs
from salt_train.backbones.base import Backbone, frozen
from salt_train.codecs.captions import Captions
from salt_train.codecs.umt5 import UMT5Captions
from salt_train.flow import move
from salt_train.recipe import Recipe, Sampling, stored
from salt_train.rollout import Context, Mover, Renoise, walk
from salt_train.weights import load

BATCH, NUMBERS = 64, 2**22
"""Clips, and numbers of their latents, that are sampled at once: a batch of tiny videos, or one of Wan's."""


@dataclass(frozen=True, eq=False)
class FlowSampler:
    """Runs `net` down `sampling.grid`. The initial noise of a clip is named by (sample seed, prompt), so every model, grid and
    batch starts the same clip from the same noise. Clips agree between batch sizes to float32 rounding: at most one grey
    level on a few pixels."""

    net: Backbone
    codec: codecs.Fitted
    captions: Captions | UMT5Captions
    sampling: Sampling

    @cached_property
    def mover(self) -> Mover:
        return Mover(self.net, self.sampling.guidance, self.captions.null)

    @classmethod
    def load(cls, recipe: Recipe, root: Path, folder: Path | None = None) -> FlowSampler:
        """The finished checkpoint of `recipe` under `root` or in the package, or the one in `folder` where that is named.

        Raises CheckpointError where it is missing, damaged or of another shape."""
        codec, captions = codecs.fitted(recipe.codec, root), codecs.captions(recipe.world, recipe.text)
        net = recipe.backbone.build(recipe.codec.shape(), captions.words, codec.std)
        if folder is None:
            load(net.state_dict(), stored(recipe, root))
        else:
            checkpoint.fill(net, folder)
        return cls(frozen(net), codec, captions, recipe.sampling)

    @property
    def grid(self) -> tuple[float, ...]:
        return self.sampling.levels

    @property
    def nfe(self) -> int:
        """Network evaluations of one clip; a guided step costs two."""
        return self.sampling.nfe

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        self.captions.ready(prompts)
        size = max(1, min(BATCH, NUMBERS // math.prod(self._shape())))
        for first in range(0, len(prompts), size):
            batch = prompts[first : first + size]
            *_, final = self.path(batch, seed)
            for prompt, pixels in zip(batch, self.decode(final), strict=True):
                yield ArrayClip(prompt, seed, pixels, self.codec.codec.fps, self.nfe, self._chunk())

    def path(self, prompts: Sequence[Prompt], seed: int) -> Iterator[State]:
        """The states at every point of the grid, for a causal model chunk by chunk, then the whole video at σ = 0."""
        sources = tuple(Draws(seed)("sample", p.id) for p in prompts)
        cond, switch = self._captions(prompts)
        context = Context(cond, Renoise(sources))
        noise = torch.stack([torch.from_numpy(s("noise").normal(self._shape())) for s in sources])
        done = []
        how = self.sampling
        for state in walk(self.mover, noise, context, self.grid, how.update, chunks=how.chunks, switch=switch):
            if state.sigma:
                yield state
            else:
                done.append(state.x)
        yield replace(state, x=done[0] if len(done) == 1 else torch.cat(done, 2))

    def _captions(self, prompts: Sequence[Prompt]) -> tuple[Tensor, tuple[int, Tensor] | None]:
        """The captions that videos begin with, and the latent frame and captions of their change, if there is one."""
        parts = [self.captions.world.parts(p) for p in prompts]
        starts = {tuple(first for first, _ in found) for found in parts}
        if starts == {(0,)}:
            return self.captions(prompts), None
        if len(starts) > 1 or len(parts[0]) != 2 or self.sampling.chunks is None:
            raise ValueError(
                "a causal sampler changes captions once, at one frame for all prompts of a batch; got changes at "
                f"{sorted(s[1:] for s in starts)}" + ("" if self.sampling.chunks else " for a sampler without chunks")
            )
        before, after = (self.captions([p for _, p in column]) for column in zip(*parts, strict=True))
        return before, (self.codec.codec.latent_from(parts[0][1][0]), after)

    def _chunk(self) -> int:
        """Frames of video per chunk, 0 where it is made at once."""
        return self.sampling.chunks.size * self.codec.codec.time if self.sampling.chunks else 0

    def _shape(self) -> tuple[int, int, int, int]:
        """(C, F, H, W) of the latents that are sampled."""
        channels, frames, *size = self.codec.codec.shape()
        return (channels, self.sampling.frames or frames, size[0], size[1])

    def move(self, state: State, start: float, end: float) -> State:
        if start != state.sigma:
            raise ValueError(f"a state moves from its own noise level {state.sigma}, got {start}")
        return replace(state, x=move(state.x, self.mover.velocity(state), start, end), sigma=end)

    def decode(self, state: State) -> np.ndarray:
        with torch.inference_mode():
            return self.codec.decode(state.x).numpy()
