"""Distribution matching distillation: the student's samples follow the teacher's score and flee their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_train.backbones.base import Backbone
from salt_train.flow import clean, guided, noised, shifted
from salt_train.objectives.base import Objective, Step


@dataclass(frozen=True)
class DMD(Objective):
    """½·mean ‖x - sg(x - grad)‖² with grad = (μ_fake - μ_real) / mean|x - μ_real| (Yin et al. 2024; Salt, "DMD").

    `guidance` is w of u + w·(c - u) for the real score (the released code's g = 3 is w = 4 here). σ is uniform, shifted and
    clamped to `clamp`; the critic is conditional only and learns the flow of the student's samples."""

    weight: float = 1.0
    guidance: float = 4.0
    shift: float = 5.0
    clamp: tuple[float, float] = (0.02, 0.98)

    def sigma(self, step: Step) -> Tensor:
        return torch.as_tensor(shifted(step.uniform("score sigma"), self.shift)).clamp(*self.clamp)

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor:
        assert critic is not None
        assert step.teacher is not None
        video, sigma = step.rollout.video, self.sigma(step)
        with torch.no_grad():
            x = noised(video, step.normal("score noise"), sigma)
            real = clean(x, guided_velocity(step.teacher, x, sigma, step.cond, step.null, self.guidance), sigma)
            fake = clean(x, critic(x, sigma, step.cond).velocity, sigma)
            target = video.double() - direction(video.double(), real.double(), fake.double())
        return 0.5 * ((video.double() - target) ** 2).mean()

    def critic(self, teacher: Callable[[], Backbone]) -> Backbone:
        return teacher()

    def critic_loss(self, step: Step, critic: nn.Module) -> Tensor:
        """mean ‖v_ψ(x_σ, σ) - (ε - x)‖² on samples of the student's own rollouts."""
        video, sigma = step.rollout.video.detach(), self.sigma(step)
        noise = step.normal("score noise")
        velocity = critic(noised(video, noise, sigma), sigma, step.cond).velocity
        return ((velocity - (noise - video)) ** 2).mean()


def direction(video: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """(μ_fake - μ_real) / mean_{C,F,H,W} |x - μ_real| per sample; NaN becomes 0."""
    scale = (video - real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    return torch.nan_to_num((fake - real) / scale)


def guided_velocity(net: nn.Module, x: Tensor, sigma: Tensor, cond: Tensor, null: Tensor, scale: float) -> Tensor:
    """The velocity under guidance; both evaluations in one batch. At scale 1 only the conditional one is made."""
    if scale == 1:
        return net(x, sigma, cond).velocity
    both = net(torch.cat([x, x]), torch.cat([sigma, sigma]), torch.cat([cond, null])).velocity
    conditional, unconditional = both.chunk(2)
    return guided(conditional, unconditional, scale)
