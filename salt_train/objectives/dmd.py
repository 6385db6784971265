"""Distribution matching distillation: the student's samples follow the teacher's score and flee their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_bench import record
from salt_train.backbones.base import Backbone
from salt_train.flow import check_clamp, clean, noised, shifted
from salt_train.notes import Note, each, look
from salt_train.objectives.base import Objective, Step, guided_velocity


@dataclass(frozen=True)
class DMD(Objective):
    """½·mean ‖x - sg(x - grad)‖² with grad = (μ_fake - μ_real) / mean|x - μ_real| (Yin et al. 2024; Salt, "DMD").

    `guidance` is w of u + w·(c - u) for the real score (the released code's g = 3 is w = 4 here). σ is uniform, shifted and
    clamped to `clamp`; the critic is conditional only and learns the flow of the student's samples."""

    weight: float = 1.0
    guidance: float = 4.0
    shift: float = 5.0
    clamp: tuple[float, float] = (0.02, 0.98)

    def __post_init__(self) -> None:
        record.positive(self, "shift")
        check_clamp(self.clamp)

    def sigma(self, step: Step) -> Tensor:
        return torch.as_tensor(shifted(step.uniform("score sigma"), self.shift)).clamp(*self.clamp)

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor:
        assert critic is not None
        assert step.teacher is not None
        (video, cond, first), sigma = step.scored, self.sigma(step)
        with torch.no_grad():
            x = noised(video, step.normal("score noise", like=video), sigma)
            real = clean(x, guided_velocity(step.teacher, x, sigma, cond, step.null, self.guidance), sigma)
            fake = clean(x, critic(x, sigma, cond).velocity, sigma)
            grad = direction(video.double(), real.double(), fake.double())
            target = video.double() - grad
            said = distances(*(x[:, :, first:] for x in (video, real, fake, grad)))
            step.said |= {name: Note(values, sigma) for name, values in said.items()}
            step.said |= look(video[:, :, first:], step.student.std)
        return 0.5 * ((video.double() - target)[:, :, first:] ** 2).mean()

    def critic(self, teacher: Callable[[], Backbone]) -> Backbone:
        return teacher()

    def critic_loss(self, step: Step, critic: nn.Module) -> Tensor:
        """mean ‖v_ψ(x_σ, σ) - (ε - x)‖² on samples of the student's own rollouts, over the frames that the student answers
        for."""
        (video, cond, first), sigma = step.scored, self.sigma(step)
        video = video.detach()
        noise = step.normal("score noise", like=video)
        velocity = critic(noised(video, noise, sigma), sigma, cond).velocity
        miss = (velocity - (noise - video))[:, :, first:] ** 2
        step.said["critic"] = Note(each(miss.detach()), sigma)
        return miss.mean()


def direction(video: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """(μ_fake - μ_real) / mean_{C,F,H,W} |x - μ_real| per sample; NaN becomes 0."""
    scale = (video - real).abs().mean(dim=(1, 2, 3, 4), keepdim=True)
    return torch.nan_to_num((fake - real) / scale)


def distances(video: Tensor, real: Tensor, fake: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Per sample, for the log: mean |grad|, which is normalised; `apart`, mean |μ_fake - μ_real|; and `behind`, by what factor
    the critic's squared error at denoising the student's sample is the (guided) teacher's. A critic that knows the student
    better than the teacher does is below 1."""
    errors = [each((denoised - video) ** 2) for denoised in (fake, real)]
    behind = errors[0] / errors[1].clamp(min=torch.finfo(video.dtype).tiny)
    return {"gradient": each(grad.abs()), "apart": each((fake - real).abs()), "behind": behind}
