"""The causal network against explicit masks: windows, sinks, relative positions, teacher forcing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from causal_parts import FRAMES, made, network
from torch import Tensor

from salt_train.backbones.attention import Chunked
from salt_train.backbones.base import Causal
from salt_train.backbones.wan import Wan
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window

POLICIES = (Full(), Window(window=5), Window(window=6, sink=2), Relative(window=5), Relative(window=6, sink=2))
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=str)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock block rounds to float32 between its layers; here it keeps float64, so that the algebra shows."""
    narrow = torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self if self.dtype == torch.float64 else narrow(self))


def by_cache(net: Wan, x: Tensor, sigma: Tensor, cond: Tensor, size: int, policy: CachePolicy, clean: Tensor) -> Tensor:
    """Chunk by chunk, each against the cache of the clean chunks before it."""
    cache, found = net.begin(cond, policy), []
    for first in range(0, x.shape[2], size):
        own = slice(first, first + size)
        found.append(net(x[:, :, own], sigma, cond, cache).velocity)
        cache = net.remember(clean[:, :, own], cond, cache)
    return torch.cat(found, 2)


@every_policy
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["fp32", "fp64"])
def test_cached_chunks_are_the_masked_pass(
    policy: CachePolicy, size: int, dtype: torch.dtype, most: float, exact: None
) -> None:
    net = network(dtype)
    x, clean, cond = (
        made("x", 2, 4, FRAMES, 4, 4, dtype=dtype),
        made("clean", 2, 4, FRAMES, 4, 4, dtype=dtype),
        made("c", 2, 3, 5, dtype=dtype),
    )
    sigma = torch.tensor([0.4, 0.8])
    with torch.no_grad():
        whole = net(x, sigma, cond, causal=Causal((size,) * (FRAMES // size), policy, clean)).velocity
        found = by_cache(net, x, sigma, cond, size, policy, clean)
    assert float((whole - found).abs().max() / whole.abs().max()) <= most


@every_policy
def test_the_masked_pass_is_an_explicit_mask(policy: CachePolicy) -> None:
    """Against attention over all keys with a dense boolean mask, written out from the policy's own words. Moving places have no
    such mask: there every chunk is computed alone."""
    net, x, cond = network(), made("x", 1, 4, FRAMES, 4, 4), made("c", 1, 3, 5)
    sigma, sizes = torch.tensor([0.6]), (1, 2, 3, 3)
    seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    wrapped = watch(net, seen)
    with torch.no_grad():
        wrapped(x, sigma, cond, causal=Causal(sizes, policy))
    places = [0, 1, 3, 6]
    tokens = 4
    for query, key, value, out in seen:
        wanted = torch.zeros_like(out)
        for first, new in zip(places, sizes, strict=True):
            frames = [*policy.kept(first, new), *range(first, first + new)]
            at = [t for f in frames for t in range(f * tokens, (f + 1) * tokens)]
            own = slice(first * tokens, (first + new) * tokens)
            k = key[:, at]
            if policy.moving:
                order = [i for i in range(len(frames)) for _ in range(tokens)]
                k = turned_in_time(net, k, order)
            wanted[:, own] = plain_attention(query[:, own], k, value[:, at], net.spec.heads)
        assert torch.allclose(out, wanted, atol=1e-5)
    assert len(seen) == net.spec.layers


def watch(net: Wan, seen: list[Any]) -> Wan:
    """The network, whose sights tell what went in and came out of every self-attention."""
    call = Chunked.__call__

    def told(self: Chunked, layer: int, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        out = call(self, layer, query, key, value, heads)
        seen.append((query, key, value, out))
        return out

    patch = pytest.MonkeyPatch()
    patch.setattr(Chunked, "__call__", told)
    forward = net.forward

    def once(*given: Any, **named: Any) -> Any:
        try:
            return forward(*given, **named)
        finally:
            patch.undo()

    net.forward = once  # type: ignore[method-assign]
    return net


def plain_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    q, k, v = (t.unflatten(2, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    weights = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)
    return (weights @ v).transpose(1, 2).flatten(2)


def turned_in_time(net: Wan, key: Tensor, places: list[int]) -> Tensor:
    """Each token's keys rotated by its frame's place, pair by pair, with the angles of the rotary embedding written out."""
    width, (time, *_) = net.spec.width // net.spec.heads, net.net.rope.dims
    angle = torch.zeros(len(places), width // 2)
    angle[:, : time // 2] = torch.outer(torch.tensor(places).float(), 10000.0 ** (-torch.arange(0, time, 2) / time))
    pairs = key.unflatten(2, (net.spec.heads, width // 2, 2))
    cosine, sine = angle.cos()[None, :, None], angle.sin()[None, :, None]
    turned = torch.stack([pairs[..., 0] * cosine - pairs[..., 1] * sine, pairs[..., 0] * sine + pairs[..., 1] * cosine], -1)
    return turned.flatten(2)


def test_teacher_forcing_sees_the_clean_past_and_no_future() -> None:
    """What a chunk predicts changes with its own noise and with the clean frames before it, and with nothing else."""
    net, x, clean, cond = network(), made("x", 1, 4, 6, 4, 4), made("clean", 1, 4, 6, 4, 4), made("c", 1, 3, 5)
    sigma = torch.tensor([[0.3, 0.3, 0.9, 0.9, 0.5, 0.5]])

    def velocity(x: Tensor, clean: Tensor, sigma: Tensor = sigma) -> Tensor:
        with torch.no_grad():
            return net(x, sigma, cond, causal=Causal((2, 2, 2), Full(), clean)).velocity

    base = velocity(x, clean)
    for frame, reached in ((0, {1, 2}), (2, {2}), (4, set())):
        other = clean.clone()
        other[:, :, frame] += 1
        moved = (velocity(x, other) - base).abs().amax((0, 1, 3, 4)) > 1e-6
        assert {i // 2 for i in range(6) if moved[i]} == reached
        noisy = x.clone()
        noisy[:, :, frame] += 1
        moved = (velocity(noisy, clean) - base).abs().amax((0, 1, 3, 4)) > 1e-6
        assert {i // 2 for i in range(6) if moved[i]} == {frame // 2}
    moved = (velocity(x, clean, sigma + torch.tensor([0, 0, 0.05, 0.05, 0, 0])) - base).abs().amax((0, 1, 3, 4)) > 1e-6
    assert [bool(m) for m in moved] == [False, False, True, True, False, False]


def test_diffusion_forcing_sees_a_noisy_past() -> None:
    net, x, cond = network(), made("x", 1, 4, 6, 4, 4), made("c", 1, 3, 5)
    with torch.no_grad():
        base, other = (net(v, torch.tensor([0.5]), cond, causal=Causal((2, 2, 2), Full())).velocity for v in (x, x + first(x)))
    moved = (base - other).abs().amax((0, 1, 3, 4)) > 1e-6
    assert moved.all()


def first(x: Tensor) -> Tensor:
    """One in the first frame."""
    out = torch.zeros_like(x)
    out[:, :, 0] = 1
    return out
