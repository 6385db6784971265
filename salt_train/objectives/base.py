"""What an objective is: a term of the loss, which brings the network that it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone
from salt_train.rollout import Renoise, Rollout, rollout


@dataclass(eq=False)
class Step:
    """Everything that a term may look at in one update. What is costly is computed once, however many terms ask."""

    student: Backbone
    teacher: Backbone | None
    cond: Tensor
    null: Tensor
    grid: tuple[float, ...]
    update: str
    exit: int
    noise: Tensor
    renoise: Renoise
    draws: Draws
    data: Callable[[], Tensor]
    grad: bool

    @cached_property
    def rollout(self) -> Rollout:
        """The student's own path from noise to its exit; one evaluation has a gradient, if this step trains the student."""
        return rollout(
            self.student, self.noise, self.cond, self.grid, self.renoise, exit=self.exit, update=self.update, grad=self.grad
        )

    @cached_property
    def truth(self) -> Tensor:
        """Latents of true videos for the step's prompts (B, C, F, H, W)."""
        return self.data()

    def normal(self, *names: str | int) -> Tensor:
        """Standard normal noise shaped like the step's latents, by name."""
        return torch.from_numpy(self.draws(*names).normal(tuple(self.noise.shape)))

    def uniform(self, *names: str | int) -> Tensor:
        """(B,) numbers in [0, 1), by name."""
        return torch.from_numpy(self.draws(*names).generator().random(len(self.noise), dtype=np.float32))


class Objective(ABC):
    """A weighted term. Terms are frozen dataclasses: an ablation is a recipe's tuple with one element changed."""

    weight: float

    @abstractmethod
    def loss(self, step: Step, critic: nn.Module | None) -> Tensor | None:
        """The unweighted loss, or None where the term has nothing to say at this step."""

    def critic(self, teacher: Callable[[], Backbone]) -> Backbone | None:
        """The network that this term trains beside the student; `teacher` makes a fresh copy of the teacher."""
        return None

    def critic_loss(self, step: Step, critic: nn.Module) -> Tensor:
        raise TypeError(f"{type(self).__name__} brings no critic")
