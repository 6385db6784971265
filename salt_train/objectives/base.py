"""What an objective is: a term of the loss, which brings the network that it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone, Causal
from salt_train.flow import guided
from salt_train.notes import Note
from salt_train.parallel import WHOLE, Share
from salt_train.rollout import Chunks, Context, Renoise, Rollout, rollout


class Scored(NamedTuple):
    """What a score network looks at: `video` (B, C, F, H, W), the caption `cond` that it should show, and from which
    frame `first` on the student answers for it."""

    video: Tensor
    cond: Tensor
    first: int


@dataclass(frozen=True, eq=False)
class Carried:
    """What a long rollout carries from one update to the next: where it stands, and its latest frames `tail` (B, C, f, H, W),
    which are scored again together with the new ones."""

    context: Context
    tail: Tensor


@dataclass(eq=False)
class Step:
    """Everything that a term may look at in one update. What is costly is computed once, however many terms ask.

    `exits` has one index into its grid per chunk. Of a rollout longer than `window` latent frames only the last `window` are
    scored and carry a gradient. `carried` is where an earlier update stopped, and with `going_on` a
    later one will go on from here; `switch` changes the caption at a frame.

    `said` is where a term notes what it computed anyway and the log should know; whoever calls the term takes it out again.

    The tensors are those of the videos in `share` of the update's batch; what is drawn by name is drawn for the whole batch,
    and each share takes its own videos' draws."""

    index: int
    student: Backbone
    teacher: Backbone | None
    ema: Backbone
    cond: Tensor
    null: Tensor
    grid: tuple[float, ...]
    update: str
    exits: tuple[int, ...]
    noise: Tensor
    renoise: Renoise
    draws: Draws
    data: Callable[[], Tensor]
    grad: bool
    chunks: Chunks | None = None
    window: int | None = None
    carried: Carried | None = None
    going_on: bool = False
    switch: tuple[int, Tensor] | None = None
    share: Share = WHOLE
    said: dict[str, Note] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        """Videos of the whole batch."""
        return len(self.noise) * self.share.count

    @property
    def exit(self) -> int:
        """Where the last chunk stops; where all chunks share an exit, every chunk does."""
        return self.exits[-1]

    @cached_property
    def rollout(self) -> Rollout:
        """The student's own path from noise to its exits; one evaluation per chunk has a gradient, if this step trains the
        student."""
        return self._rolled(self.grid, self.exits, self.renoise, self.grad)

    def reference(self, grid: tuple[float, ...]) -> Rollout:
        """The same noise and captions on a grid that holds every exit's noise level, with a cache of its own, stopped at the
        same levels, without gradient. At levels that both grids know the fresh noise is the same; at the others the step is Ψ
        (Salt, "Cache-conditioned feature alignment")."""
        exits = tuple(grid.index(self.grid[e]) for e in self.exits)
        with torch.no_grad():
            return self._rolled(grid, exits, replace(self.renoise, only=self.grid), False)

    def _rolled(self, grid: tuple[float, ...], exits: tuple[int, ...], renoise: Renoise, grad: bool) -> Rollout:
        start = replace(self.carried.context, renoise=renoise) if self.carried else Context(self.cond, renoise)
        return rollout(
            self.student,
            self.noise,
            start,
            grid,
            self.update,
            chunks=self.chunks,
            exits=exits,
            grad=grad,
            scored=self.window,
            switch=self.switch,
            keep=self.going_on,
        )

    @cached_property
    def scored(self) -> Scored:
        """The window of the rollout that the score networks judge."""
        video, tail, cond = self.rollout.video, 0, self.cond
        start = self.rollout.stops[0].frames[0]
        if self.carried is not None:
            video, tail = torch.cat([self.carried.tail, video], 2), self.carried.tail.shape[2]
        first = tail
        if self.switch is not None and self.switch[0] >= start:
            first, cond = tail + self.switch[0] - start, self.switch[1]
        cut = max(0, video.shape[2] - (self.window or video.shape[2]))
        return Scored(video[:, :, cut:], cond, max(0, first - cut))

    def causal(self, frames: int, clean: Tensor | None = None) -> Causal:
        """The student's chunks as one pass over a video of `frames` latent frames; with `clean`, against its clean past."""
        if self.chunks is None:
            raise ValueError("a causal pass needs chunks: give the recipe its `chunks`")
        return Causal(self.chunks.sizes(frames), self.chunks.cache, clean, self.chunks.cache.context_noise)

    @cached_property
    def truth(self) -> Tensor:
        """Latents of true videos for the step's prompts (B, C, F, H, W)."""
        return self.data()

    def normal(self, *names: str | int, like: Tensor | None = None) -> Tensor:
        """Standard normal noise shaped like the step's latents, or like `like`, by name."""
        shape, mine = (self.noise if like is None else like).shape[1:], self.share.of(self.batch)
        drawn = self.draws(*names).normal((mine.stop, *shape))  # a draw begins with every shorter one
        return torch.from_numpy(drawn[mine]).to(self.noise.device)

    def uniform(self, *names: str | int) -> Tensor:
        """(B,) numbers in [0, 1), by name."""
        return self.mine(self.uniforms(*names))

    def uniforms(self, *names: str | int) -> Tensor:
        """What `uniform` draws for every video of the whole batch."""
        drawn = self.draws(*names).generator().random(self.batch, dtype=np.float32)
        return torch.from_numpy(drawn).to(self.noise.device)

    def mine(self, values: Tensor) -> Tensor:
        """The share's own of what was made for the whole batch, which comes first in its shape."""
        return values[self.share.of(self.batch)]


class Objective(ABC):
    """A weighted term. Terms are frozen dataclasses: an ablation is a recipe's tuple with one element changed."""

    weight: float

    @property
    def name(self) -> str:
        """What the log calls it."""
        return type(self).__name__

    @abstractmethod
    def loss(self, step: Step, critic: nn.Module | None) -> Tensor | None:
        """The unweighted loss, or None where the term has nothing to say at this step."""

    def critic(self, teacher: Callable[[], Backbone]) -> Backbone | None:
        """The network that this term trains beside the student; `teacher` makes a fresh copy of the teacher."""
        return None

    def critic_loss(self, step: Step, critic: nn.Module) -> Tensor:
        raise TypeError(f"{type(self).__name__} brings no critic")


def guided_velocity(
    net: nn.Module, x: Tensor, sigma: Tensor, cond: Tensor, null: Tensor, scale: float, causal: Causal | None = None
) -> Tensor:
    """The velocity of a whole video under guidance, both evaluations in one batch, causal where `causal` says how. At scale 1
    only the conditional one is made."""
    if scale == 1:
        return net(x, sigma, cond, causal=causal).velocity
    if causal is not None and causal.clean is not None:
        causal = replace(causal, clean=torch.cat([causal.clean, causal.clean]))
    both = net(torch.cat([x, x]), torch.cat([sigma, sigma]), torch.cat([cond, null]), causal=causal).velocity
    conditional, unconditional = both.chunk(2)
    return guided(conditional, unconditional, scale)
