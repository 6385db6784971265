"""A term that speaks only at some updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from salt_bench import record
from salt_train.backbones.base import Backbone
from salt_train.objectives.base import Objective, Step


@dataclass(frozen=True)
class Gate(Objective):
    """`term` on rollouts of `points` steps (empty: of any number) from update `start` on: the 1[K = 8] of self-consistency, the
    late start of alignment (Salt, "Total, autoregressive"). A critic inside learns at every update."""

    term: Objective
    points: tuple[int, ...] = ()
    start: int = 0

    def __post_init__(self) -> None:
        record.at_least(self, start=0)
        if self.points and min(self.points) < 1:
            raise ValueError(f"a rollout has one step or more, got {self.points}")

    @property
    def weight(self) -> float:  # type: ignore[override]
        return self.term.weight

    @property
    def name(self) -> str:
        return self.term.name

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor | None:
        return self.term.loss(step, critic) if step.index >= self.start and self.speaks_on(step.grid) else None

    def speaks_on(self, grid: tuple[float, ...]) -> bool:
        """Whether the term says anything about rollouts over `grid`."""
        return not self.points or len(grid) in self.points

    def critic(self, teacher: Callable[[], Backbone]) -> Backbone | None:
        return self.term.critic(teacher)

    def critic_loss(self, step: Step, critic: nn.Module) -> Tensor:
        return self.term.critic_loss(step, critic)
