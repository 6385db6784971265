"""Distribution matching against closed forms: values, signs, and which branch carries the gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import MATRIX, Field, Mixing, gaussian, gradient, mixed, step, value, wide
from torch import Tensor, nn

from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.caches.base import CachePolicy
from salt_train.flow import noised
from salt_train.objectives.base import Step
from salt_train.objectives.dmd import DMD, direction, guided_velocity

SHAPE = (2, 2, 2, 3, 3)


class Placed(Backbone):
    """A one-step generator: from pure noise its video is noise + place."""

    def __init__(self, place: float) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor(place))
        self.std = torch.ones(1, 1, 1, 1, 1)

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        return Output(-self.place.expand(x.shape), None)

    def begin(self, cond: Tensor, policy: CachePolicy) -> Any:
        raise AssertionError("one chunk needs no memory")

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> Any:
        raise AssertionError("one chunk needs no memory")


def distil(net: Placed, goal: float, seed: int = 0) -> Step:
    """A step whose teacher is a perfect denoiser of N(goal, 1)."""
    return step(net, shape=(4, 1, 2, 3, 3), seed=seed, exit=0, teacher=Field(gaussian(goal)))


@pytest.mark.parametrize(("place", "goal"), [(2.0, -1.0), (-1.0, 2.0)])
def test_the_gradient_of_two_gaussians(place: float, goal: float) -> None:
    """Teacher N(goal, 1), student and critic N(place, 1): μ_fake - μ_real = σ²(place - goal)/((1-σ)² + σ²) everywhere."""
    net, term = Placed(place), DMD(guidance=1.0)
    made = distil(net, goal)
    video, sigma = made.rollout.video, wide(term.sigma(made)).double()
    total = (1 - sigma) ** 2 + sigma**2
    x = noised(video.detach().double(), made.normal("score noise").double(), sigma.flatten())
    real = (goal * sigma**2 + (1 - sigma) * x) / total
    scale = (video.detach() - real).abs().mean((1, 2, 3, 4), keepdim=True)
    wanted = (sigma**2 * (place - goal) / total / scale).expand(video.shape) / video.numel()
    loss = term.loss(made, Field(gaussian(place)))
    assert loss is not None
    (to_video,) = torch.autograd.grad(loss, [video], retain_graph=True)
    assert torch.allclose(to_video.double(), wanted, rtol=1e-4)
    (to_place,) = torch.autograd.grad(loss, [net.place])
    assert float(to_place) * (place - goal) > 0  # descending moves the student towards the teacher
    assert float(to_place) == pytest.approx(float(wanted.sum()), rel=1e-4)


@pytest.mark.parametrize(("place", "goal"), [(2.0, -1.0), (-1.0, 2.0)])
def test_what_is_noted_of_two_gaussians(place: float, goal: float) -> None:
    """|μ_fake - μ_real| = σ²|place - goal|/((1-σ)² + σ²); a perfect critic denoises its own samples better than the teacher."""
    term, made = DMD(guidance=1.0), distil(Placed(place), goal)
    term.loss(made, Field(gaussian(place)))
    video, noise = made.rollout.video.detach(), made.normal("score noise")
    sigma, apart = made.said["apart"].sigma, made.said["apart"].values
    assert sigma is not None
    assert torch.equal(sigma, term.sigma(made))
    assert torch.allclose(apart.float(), sigma**2 * 3 / ((1 - sigma) ** 2 + sigma**2), rtol=1e-4)
    level = wide(sigma)
    real, fake = (
        (mean * level**2 + (1 - level) * noised(video, noise, sigma)) / ((1 - level) ** 2 + level**2) for mean in (goal, place)
    )
    to_real, to_fake = ((guess - video).flatten(1) for guess in (real, fake))
    assert torch.allclose(made.said["gradient"].values.float(), apart.float() / to_real.abs().mean(1), rtol=1e-4)
    assert torch.allclose(made.said["behind"].values.float(), (to_fake**2).mean(1) / (to_real**2).mean(1), rtol=1e-3)
    assert float(made.said["behind"].values.max()) < 1
    assert set(made.said) == {"gradient", "apart", "behind", "saturation", "spread", "motion"}
    assert not any(note.values.requires_grad for note in made.said.values())


def test_a_critics_loss_is_noted_video_by_video() -> None:
    term, made = DMD(), distil(Placed(0.0), 1.0)
    loss = term.critic_loss(made, Field(gaussian(0.0)))
    assert float(made.said["critic"].values.mean()) == pytest.approx(float(loss), rel=1e-5)


def test_descending_arrives_at_the_teacher() -> None:
    net = Placed(2.0)
    for i in range(60):
        loss = DMD(guidance=1.0).loss(distil(net, -1.0, seed=i), Field(gaussian(float(net.place.detach()))))
        assert loss is not None
        with torch.no_grad():
            net.place -= 0.15 * gradient(loss, net)
    assert float(net.place.detach()) == pytest.approx(-1.0, abs=0.05)


def test_the_normaliser_is_each_videos_own() -> None:
    video = torch.zeros(2, 1, 1, 1, 4, dtype=torch.float64)
    real = torch.tensor([[1.0, -1, 1, -1], [100, -300, 100, -300]], dtype=torch.float64).view_as(video)
    fake = real + torch.tensor([[0.5] * 4, [0.5] * 4], dtype=torch.float64).view_as(video)
    found = direction(video, real, fake).flatten(1)
    assert torch.allclose(found, torch.tensor([[0.5] * 4, [0.0025] * 4], dtype=torch.float64))


def test_nothing_over_nothing_is_no_gradient() -> None:
    same = torch.ones(1, 1, 1, 1, 4, dtype=torch.float64)
    assert torch.equal(direction(same, same, same), torch.zeros_like(same))


def test_guidance_reads_the_caption_and_its_absence() -> None:
    net = Field(lambda x, s, cond: x * cond.mean((1, 2)).view(-1, 1, 1, 1, 1))
    x, sigma = torch.ones(2, 1, 1, 1, 1), torch.tensor([0.5, 0.7])
    cond, null = torch.tensor([2.0, 5.0]).view(2, 1, 1), torch.full((2, 1, 1), 0.5)
    found = guided_velocity(net, x, sigma, cond, null, 4.0).flatten()
    assert found.tolist() == [2 + 3 * 1.5, 5 + 3 * 4.5]
    assert [len(call[0]) for call in net.calls] == [4]
    assert torch.equal(net.calls[0][1], torch.tensor([0.5, 0.7, 0.5, 0.7]))
    assert guided_velocity(net, x, sigma, cond, null, 1.0).flatten().tolist() == [2.0, 5.0]
    assert [len(call[0]) for call in net.calls] == [4, 2]


def test_the_scores_carry_no_gradient_and_the_critic_sees_captions_alone() -> None:
    critic, teacher = Field(gaussian(0.0)), Field(gaussian(1.0))
    made = step(Placed(1.0), shape=(2, 1, 2, 3, 3), exit=0, teacher=teacher)
    DMD().loss(made, critic)
    (asked,) = critic.calls
    assert torch.equal(asked[2], made.cond)
    assert [call[3] for call in critic.calls + teacher.calls] == [False, False]
    assert torch.equal(teacher.calls[0][2], torch.cat([made.cond, made.null]))


def test_score_noise_levels_are_shifted_and_clamped() -> None:
    term, made = DMD(), step(Placed(0.0), shape=(512, 1, 1, 1, 1), exit=0)
    u, sigma = made.uniform("score sigma"), term.sigma(made)
    assert torch.allclose(sigma, (5 * u / (1 + 4 * u)).clamp(0.02, 0.98))
    assert float(sigma.max()) == pytest.approx(0.98)
    assert float((sigma == sigma.max()).float().mean()) == pytest.approx(
        0.092, abs=0.04
    )  # measured of the released code: 9.2 %
    assert float(sigma.mean()) == pytest.approx(0.746, abs=0.03)


def test_the_critic_learns_the_flow_of_the_rollouts_and_the_student_feels_nothing() -> None:
    net, critic, term = Mixing(MATRIX), Mixing(2 * MATRIX), DMD()
    made = step(net, shape=SHAPE)
    sigma, noise, video = term.sigma(made), made.normal("score noise"), made.rollout.video.detach()
    x = noised(video, noise, sigma)
    wanted = ((mixed(2 * MATRIX, x) - (noise - video)) ** 2).mean()
    loss = term.critic_loss(made, critic)
    assert value(loss) == pytest.approx(float(wanted), rel=1e-5)
    assert torch.autograd.grad(loss, list(net.parameters()), allow_unused=True, retain_graph=True) == (None,)
    assert float(gradient(loss, critic).norm()) > 0


def test_a_perfect_critic_has_the_least_loss() -> None:
    """On N(1, 1) samples; with the sign of the target flipped, the negative field would win."""
    made = step(Placed(1.0), shape=(64, 1, 2, 4, 4), exit=0)
    best, *others = [
        float(DMD().critic_loss(made, Field(lambda x, s, c, k=k: k * gaussian(1.0)(x, s, c)))) for k in (1.0, 0.9, 1.1, -1.0)
    ]
    assert best < min(others)
