"""Flow matching against closed forms: values, signs, noise levels and captions."""

from __future__ import annotations

import pytest
import torch
from tiny import Field, gaussian, step, value, wide

from salt_bench.rng import Draws
from salt_train.objectives.flow_matching import FlowMatching


def test_the_true_velocity_of_one_video_has_no_loss() -> None:
    truth = torch.from_numpy(Draws(3).normal((4, 1, 2, 4, 4)))
    net = Field(lambda x, s, c: (x - truth) / wide(s))
    assert value(FlowMatching().loss(step(net, shape=truth.shape, data=lambda: truth), None)) < 1e-5
    flipped = Field(lambda x, s, c: (truth - x) / wide(s))
    assert value(FlowMatching().loss(step(flipped, shape=truth.shape, data=lambda: truth), None)) > 1


@pytest.mark.parametrize("std", [0.5, 2.0])
def test_the_best_network_on_gaussian_data_has_loss_1(std: float) -> None:
    """Each channel's error is divided by what a linear guess leaves, and for Gaussian data no network does better."""
    shape = (64, 1, 4, 8, 8)
    truth = std * torch.from_numpy(Draws(3).normal(shape))

    def loss(factor: float) -> float:
        net = Field(lambda x, s, c: factor * gaussian(0.0, std)(x, s, c))
        net.std = torch.full((1, 1, 1, 1, 1), std)
        return value(FlowMatching().loss(step(net, shape=shape, data=lambda: truth), None))

    assert loss(1.0) == pytest.approx(1.0, abs=0.02)
    assert loss(1.0) < min(loss(0.9), loss(1.1))


def test_noise_levels_are_stratified_and_shifted() -> None:
    net = Field(lambda x, s, c: x)
    FlowMatching(shift=3.0).loss(step(net, shape=(8, 1, 1, 1, 1)), None)
    sigma = net.calls[0][1]
    u = sigma / (3 - 2 * sigma)  # the shift, undone
    assert torch.equal((8 * u).floor(), torch.arange(8.0))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_captions_are_dropped_at_their_rate(rate: float) -> None:
    net = Field(lambda x, s, c: x)
    for i in range(150):
        made = step(net, shape=(8, 1, 1, 1, 1), draws=Draws(0)("student", i))
        FlowMatching(dropout=rate).loss(made, None)
    dropped = torch.stack([(call[2] == 0).all((1, 2)) for call in net.calls]).float()
    assert float(dropped.mean()) == pytest.approx(rate, abs=0.04 if 0 < rate < 1 else 0)
    assert float(dropped.mean(0).std()) < 0.05  # no place of the batch is spared
