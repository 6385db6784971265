"""Flow matching: what a teacher is trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_bench import record
from salt_train.backbones.wan import precondition
from salt_train.flow import noised, shifted, stratified
from salt_train.objectives.base import Objective, Step


@dataclass(frozen=True)
class FlowMatching(Objective):
    """‖v_θ(x_σ, σ, c) - (ε - x_0)‖² with σ stratified over the batch and shifted, captions dropped with probability `dropout`.

    Each channel's error is divided by what a linear guess would leave at that noise level (`precondition`), so that no noise
    level and no channel owns the loss."""

    weight: float = 1.0
    shift: float = 3.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        record.positive(self, "shift")
        record.shares(self, "dropout")

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor:
        strata = step.mine(stratified(step.batch, step.uniforms("sigma")))
        sigma = torch.as_tensor(shifted(strata, self.shift)).clamp(1e-3, 1 - 1e-3)
        dropped = (step.uniform("dropout") < self.dropout).view(-1, 1, 1)
        noise = step.normal("noise")
        x = noised(step.truth, noise, sigma)
        velocity = step.student(x, sigma, torch.where(dropped, step.null, step.cond)).velocity
        _, left, _ = precondition(sigma, step.student.std)
        return (((velocity - (noise - step.truth)) / left) ** 2).mean()
