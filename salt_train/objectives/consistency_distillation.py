"""Causal consistency distillation: neighbouring states of the autoregressive teacher's ODE must give one and the same video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_train.flow import check_grid, clean, move, noised
from salt_train.objectives.base import Objective, Step, guided_velocity
from salt_train.rollout import level


@dataclass(frozen=True)
class ConsistencyDistillation(Objective):
    """mean ‖x̂_0(x_i) - sg x̂_0^EMA(x_{i+1})‖² with x_{i+1} one guided ODE step of the teacher after x_i, a noised true video;
    everybody sees the true clean past (Causal Forcing++, stage 2b). `path` are the noise levels of the ODE, 48 in public code.

    The public code never draws the last interval, so that x̂_0 at the last level hangs in the air: `skip_last` does the same.
    It also computes step lengths from timesteps in bf16 (half of them off by more than a tenth): `coarse_time` does."""

    path: tuple[float, ...]
    guidance: float = 3.0
    weight: float = 1.0
    skip_last: bool = False
    coarse_time: bool = False

    def __post_init__(self) -> None:
        check_grid(self.path)

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor:
        assert step.teacher is not None
        levels, truth = (*self.path, 0.0), step.truth
        i = step.draws("interval").choice(len(self.path) - self.skip_last)
        start, end = levels[i], levels[i + 1]
        sight = step.causal(truth.shape[2], truth)
        x = noised(truth, step.normal("noise", like=truth), start)
        target = truth
        if end:
            with torch.no_grad():
                velocity = guided_velocity(step.teacher, x, level(start, x), step.cond, step.null, self.guidance, sight)
                after = move(x, velocity, *(_bf16(s) if self.coarse_time else s for s in (start, end)))
                target = clean(after, step.ema(after, level(end, x), step.cond, causal=sight).velocity, end)
        found = clean(x, step.student(x, level(start, x), step.cond, causal=sight).velocity, start)
        return ((found - target) ** 2).mean()


def _bf16(sigma: float) -> float:
    """A noise level after its timestep went through bf16."""
    return float(torch.tensor(1000 * sigma).bfloat16()) / 1000
