"""The stock network with coordinates and preconditioning around it."""

from __future__ import annotations

import pytest
import torch
from tiny import wan
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.attention import FastAttention
from salt_train.backbones.base import frozen
from salt_train.backbones.wan import WanSpec, coordinates, precondition


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    draws = Draws(2)
    x, cond = (torch.from_numpy(draws(n).normal(s)) for n, s in (("x", (2, 6, 2, 4, 4)), ("cond", (2, 3, 5))))
    return x, torch.tensor([0.4, 0.9]), cond


@pytest.mark.parametrize("sigma", [0.02, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("std", [0.4, 2.5])
def test_preconditioning_is_the_best_linear_guess(sigma: float, std: float) -> None:
    """Against least squares on a million pairs of true latents and noise."""
    draws = Draws(0)
    x0 = std * torch.from_numpy(draws("x0").normal((1_000_000,))).double()
    noise = torch.from_numpy(draws("noise").normal((1_000_000,))).double()
    x, v = (1 - sigma) * x0 + sigma * noise, noise - x0
    a, b, scale = (float(t) for t in precondition(torch.tensor([sigma]), torch.full((1, 1, 1, 1, 1), std)))
    assert a == pytest.approx(float((x @ v) / (x @ x)), abs=0.02)
    assert b == pytest.approx(float((v - a * x).std()), rel=0.01)
    assert float((scale * x).var()) == pytest.approx(1.0, rel=0.01)


def test_preconditioning_at_the_ends() -> None:
    """At pure noise the guess of v is ε = x; at the clean end it is -x_0 = -x."""
    a, _, _ = precondition(torch.tensor([1.0, 0.0]), torch.full((1, 1, 1, 1, 1), 0.7))
    assert a.flatten().tolist() == [1.0, -1.0]


def test_each_channel_has_its_own_preconditioning() -> None:
    std = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1, 1)
    a, b, scale = precondition(torch.tensor([0.3, 0.6]), std)
    assert a.shape == b.shape == scale.shape == (2, 2, 1, 1, 1)
    alone = precondition(torch.tensor([0.6]), std[:, 1:])
    assert [float(t[1, 1]) for t in (a, b, scale)] == [float(t) for t in alone]


def test_coordinates_tell_every_place_apart() -> None:
    planes = coordinates((3, 4, 5), 2)
    assert planes.shape == (12, 3, 4, 5)
    assert len({tuple(v) for v in planes.flatten(1).T.tolist()}) == 60
    for axis, length in enumerate((3, 4, 5)):
        middle = (torch.arange(length) + 0.5) / length * torch.pi
        line = planes[4 * axis : 4 * axis + 4].movedim(axis + 1, 1)[:, :, 0, 0]
        assert torch.allclose(
            line, torch.stack([middle.sin(), middle.cos(), (2 * middle).sin(), (2 * middle).cos()]), atol=1e-6
        )
    assert coordinates((3, 4, 5), 0).shape == (0, 3, 4, 5)


def test_the_network_is_the_stock_class() -> None:
    from diffusers import WanTransformer3DModel

    net = wan()
    assert type(net.net) is WanTransformer3DModel
    assert net.net.config.in_channels == 6 + 12
    assert net.net.config.out_channels == 6


def test_fast_attention_is_the_stock_attention() -> None:
    """Self- and cross-attention, in every block, on the same weights; forward and backward."""
    from diffusers.models.transformers.transformer_wan import WanAttnProcessor

    net, made = wan(layers=2), inputs()
    assert all(isinstance(p, FastAttention) for p in net.net.attn_processors.values())
    fast = net(*made).velocity
    gradient = torch.autograd.grad(fast.square().mean(), net.net.blocks[0].attn1.to_q.weight)[0]
    net.net.set_attn_processor(WanAttnProcessor())
    stock = net(*made).velocity
    assert torch.allclose(fast, stock, atol=1e-5)
    assert torch.allclose(
        gradient, torch.autograd.grad(stock.square().mean(), net.net.blocks[0].attn1.to_q.weight)[0], atol=1e-5
    )


@pytest.mark.parametrize("crossed", [False, True])
def test_one_attention_alone_is_the_stock_one(crossed: bool) -> None:
    from diffusers.models.transformers.transformer_wan import WanAttnProcessor

    net = wan()
    block, tokens = net.net.blocks[0], torch.from_numpy(Draws(0)("tokens").normal((2, 8, 16)))
    attention, other = (block.attn2, tokens[:, :3]) if crossed else (block.attn1, None)
    rotary = None if crossed else net.net.rope(torch.zeros(1, 18, 2, 4, 4))
    fast, stock = (p(attention, tokens, other, None, rotary) for p in (FastAttention(), WanAttnProcessor()))
    assert torch.allclose(fast, stock, atol=1e-5)
    if rotary is not None:  # the rotation is part of what is compared
        assert not torch.allclose(fast, FastAttention()(attention, tokens, None, None, None), atol=1e-3)


def test_the_velocity_is_the_guess_plus_the_scaled_network() -> None:
    net, (x, sigma, cond) = wan(), inputs()
    a, b, scale = precondition(sigma, net.std)
    (raw,) = net.net(torch.cat([x * scale, net.place.expand(2, -1, -1, -1, -1)], 1), sigma * 1000, cond, return_dict=False)
    assert torch.allclose(net(x, sigma, cond).velocity, a * x + b * raw)


def test_without_preconditioning_the_network_speaks_alone() -> None:
    torch.manual_seed(0)
    spec = WanSpec(width=16, heads=2, layers=1, hidden=16, waves=0, precondition=False)
    net, (x, sigma, cond) = spec.build((6, 2, 4, 4), 5, torch.ones(6)), inputs()
    (raw,) = net.net(x, sigma * 1000, cond, return_dict=False)
    assert torch.equal(net(x, sigma, cond).velocity, raw)


def test_a_video_does_not_depend_on_its_batch() -> None:
    net, (x, sigma, cond) = wan(), inputs()
    both = net(x, sigma, cond).velocity
    assert torch.allclose(both[1:], net(x[1:], sigma[1:], cond[1:]).velocity, atol=1e-5)
    assert not torch.allclose(both, net(x, sigma, cond.flip(0)).velocity, atol=1e-4)
    assert not torch.allclose(both, net(x, sigma.flip(0), cond).velocity, atol=1e-4)


def test_features_are_the_tokens_after_a_block() -> None:
    net, made = wan(layers=2), inputs()
    plain, tapped, later = (net(*made, tap=tap) for tap in (-1, 0, 1))
    assert plain.features is None
    assert tapped.features is not None
    assert later.features is not None
    assert tapped.features.shape == (2, 2 * 2 * 2, 16)
    assert torch.equal(plain.velocity, tapped.velocity)
    assert not torch.allclose(tapped.features, later.features)
    assert not any(block._forward_hooks for block in net.net.blocks)
    (gradient,) = torch.autograd.grad(tapped.features.sum(), net.net.patch_embedding.weight)
    assert float(gradient.abs().sum()) > 0


def test_places_are_no_weights() -> None:
    """What follows from the recipe is not stored with the checkpoint."""
    assert all(name.startswith("net.") for name in wan().state_dict())


def test_freezing_and_copying() -> None:
    one, two = wan(0), wan(1)
    assert not torch.equal(one(*inputs()).velocity, two(*inputs()).velocity)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(*inputs()).velocity, two(*inputs()).velocity)
    still = frozen(one)
    assert not still.training
    assert not any(p.requires_grad for p in still.parameters())
