"""Teacher forcing: an autoregressive diffusion model learns every chunk against the true past."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_bench import record
from salt_train.backbones.base import Backbone
from salt_train.backbones.wan import precondition
from salt_train.flow import bell, noised, per_frame, shifted, stratified, wide
from salt_train.objectives.base import Objective, Step

WEIGHTINGS = ("preconditioned", "bell")


@dataclass(frozen=True)
class TeacherForcing(Objective):
    """‖v_θ(x_σ, σ, c | clean past) - (ε - x_0)‖² with one noise level per chunk, all chunks in one pass over [clean | noisy]
    (Causal Forcing, stage 1). With `clean_past` unset the past is as noisy as it comes, at levels of its own: diffusion
    forcing. Captions are dropped with probability `dropout`.

    `weighting`: "preconditioned" divides each channel's error by what a linear guess leaves at that level; "bell" is Wan's."""

    weight: float = 1.0
    shift: float = 5.0
    dropout: float = 0.0
    weighting: str = "bell"
    clean_past: bool = True

    def __post_init__(self) -> None:
        record.positive(self, "shift")
        record.shares(self, "dropout")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"a weighting is one of {', '.join(WEIGHTINGS)}, got {self.weighting!r}")

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor:
        truth, noise = step.truth, step.normal("noise", like=step.truth)
        causal = step.causal(truth.shape[2], truth if self.clean_past else None)
        strata = [stratified(step.batch, step.uniforms("sigma", i))[_order(step, i)] for i in range(len(causal.chunks))]
        levels = torch.as_tensor(shifted(step.mine(torch.stack(strata, 1)), self.shift))
        sigma = per_frame(levels.clamp(1e-3, 1 - 1e-3), causal.chunks)
        dropped = (step.uniform("dropout") < self.dropout).view(-1, 1, 1)
        x = noised(truth, noise, sigma)
        velocity = step.student(x, sigma, torch.where(dropped, step.null, step.cond), causal=causal).velocity
        return (self._scale(sigma, step.student, x) * (velocity - (noise - truth)) ** 2).mean()

    def _scale(self, sigma: Tensor, student: Backbone, like: Tensor) -> Tensor | float:
        if self.weighting == "bell":
            return wide(bell(sigma, self.shift), like)
        return precondition(sigma, student.std)[1] ** -2


def _order(step: Step, chunk: int) -> Tensor:
    """Strata are dealt to the batch anew for every chunk, or a video's chunks would all be about equally noisy."""
    return torch.from_numpy(step.draws("strata", chunk).generator().permutation(step.batch)).to(step.noise.device)
