"""The causal network against explicit masks: caches, windows, sinks, relative positions, teacher forcing, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.attention import Chunked
from salt_train.backbones.base import Causal
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.caches.base import CachePolicy, frame_bytes
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.rollout import Chunks, Context, Mover, Renoise, pieces, rollout

FRAMES = 9
SPEC = WanSpec(width=32, heads=2, layers=3, hidden=32, timeless=True)
POLICIES = (Full(), Window(window=5), Window(window=6, sink=2), Relative(window=5), Relative(window=6, sink=2))
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=str)


def network(dtype: torch.dtype = torch.float32, spec: WanSpec = SPEC) -> Wan:
    torch.manual_seed(0)
    net = spec.build((4, FRAMES, 4, 4), 5, torch.linspace(0.5, 1.5, 4))
    assert isinstance(net, Wan)
    return net.to(dtype)


def made(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(Draws(1)(name).normal(shape)).to(dtype)


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


# --- what is remembered ------------------------------------------------------------------------------------------------------


def context(net: Wan, batch: int = 2, seed: int = 3) -> Context:
    return Context(made("c", batch, 3, 5), Renoise(tuple(Draws(seed)("video", i) for i in range(batch))))


def last_chunk_gradient(past: str, checkpointing: bool = False) -> tuple[Tensor, list[Tensor]]:
    """The gradient of the last chunk's loss to the noise of all chunks, and to the weights."""
    net = network()
    if checkpointing:
        net.net.enable_gradient_checkpointing()
    noise = made("noise", 2, 4, 6, 4, 4).requires_grad_(True)
    chunks = Chunks(2, Full(past=past))
    found = rollout(net, noise, context(net), (1.0,), chunks=chunks, grad=True)
    loss = found.video[:, :, 4:].square().mean()
    gradients = torch.autograd.grad(loss, [noise, *net.parameters()], allow_unused=True)
    return gradients[0], [g for g in gradients[1:] if g is not None]


def test_a_detached_past_gets_exactly_no_gradient() -> None:
    gradient, _ = last_chunk_gradient("detached")
    by_frame = gradient.abs().amax((0, 1, 3, 4))
    assert by_frame[:4].tolist() == [0.0] * 4
    assert (by_frame[4:] > 0).all()


@pytest.mark.parametrize("past", ["attached", "leaky"])
def test_an_attached_or_leaky_past_gets_some(past: str) -> None:
    gradient, _ = last_chunk_gradient(past)
    assert (gradient.abs().amax((0, 1, 3, 4)) > 0).all()


def test_a_leaky_past_has_the_values_of_the_clean_pass() -> None:
    """The video is the same whatever gradient the past carries; only the gradients differ."""
    net, noise = network(), made("noise", 2, 4, 6, 4, 4)
    videos = [
        rollout(net, noise, context(net), (1.0, 0.5), chunks=Chunks(2, Full(past=past)), grad=True).video
        for past in ("detached", "attached", "leaky")
    ]
    assert all(torch.allclose(v, videos[0], atol=1e-6) for v in videos)
    gradients = [last_chunk_gradient(past)[0][:, :, :4] for past in ("attached", "leaky")]
    assert not torch.allclose(*gradients, rtol=0.1)


@pytest.mark.parametrize("past", ["detached", "attached", "leaky"])
def test_checkpointing_changes_no_gradient(past: str) -> None:
    """Cross-attention keys and values included: with a cache of them, training would not reach them."""
    (_, plain), (_, repeated) = (last_chunk_gradient(past, on) for on in (False, True))
    assert len(plain) == len(repeated) == len(list(network().parameters()))
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(plain, repeated, strict=True))
    net = network()
    names = [name for name, _ in net.named_parameters()]
    moved = {name for name, g in zip(names, plain, strict=True) if float(g.abs().max()) > 0}
    assert {f"net.blocks.{i}.attn2.{part}.weight" for i in range(3) for part in ("to_k", "to_v", "norm_k")} <= moved


def test_frozen_captions_have_the_same_values_and_get_no_gradient() -> None:
    """The measured fault of a cross-attention cache that training reads."""
    noise, grid = made("noise", 2, 4, 4, 4, 4), (1.0, 0.5)
    videos, moved = [], []
    for policy in (Full(), Full(frozen_text=True)):
        net = network()
        video = rollout(net, noise, context(net), grid, chunks=Chunks(2, policy), grad=True).video
        named = [(name, p) for name, p in net.named_parameters() if "attn2.to_k" in name or "attn2.to_v" in name]
        found = torch.autograd.grad(video.square().mean(), [p for _, p in named], allow_unused=True)
        videos.append(video.detach())
        moved.append([g is not None and float(g.abs().max()) > 0 for g in found])
    assert torch.allclose(*videos, atol=1e-6)
    assert moved == [[True] * 12, [False] * 12]


@pytest.mark.parametrize("steps", [1, 4])
def test_captions_are_read_once_per_prompt(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, calls = network(), []
    for block in net.net.blocks:
        block.attn2.to_k.register_forward_hook(lambda *_: calls.append("k"))
    with torch.no_grad():
        rollout(net, made("noise", 2, 4, 8, 4, 4), context(net), even(steps, 5.0), chunks=Chunks(2))
    assert len(calls) == len(net.net.blocks)


def test_a_caption_that_is_read_without_gradient_is_the_same() -> None:
    net, x, cond = network(), made("x", 2, 4, 2, 4, 4), made("c", 2, 3, 5)
    cache = net.begin(cond, Full())
    with torch.no_grad():
        known = net(x, torch.full((2,), 0.5), cond, cache).velocity
    assert torch.allclose(known, net(x, torch.full((2,), 0.5), cond, cache).velocity, atol=1e-6)
    with torch.no_grad():  # the caption of the cache speaks, not the one that is passed
        assert torch.equal(known, net(x, torch.full((2,), 0.5), cond.flip(0), cache).velocity)


def test_reading_changes_no_cache() -> None:
    net, x, cond = network(), made("x", 2, 4, 2, 4, 4), made("c", 2, 3, 5)
    cache = net.remember(x, cond, net.begin(cond, Full()))
    before = [k.clone() for k in cache.keys]
    net(x, torch.full((2,), 0.5), cond, cache)
    after = net.remember(x + 1, cond, cache)
    assert all(torch.equal(a, b) for a, b in zip(before, cache.keys, strict=True))
    assert (cache.seen, cache.frames, after.seen, after.frames) == (2, (0, 1), 4, (0, 1, 2, 3))


@pytest.mark.parametrize("policy", [Window(window=6, sink=2), Relative(window=6, sink=2)], ids=str)
def test_memory_is_flat_once_the_window_is_full(policy: CachePolicy) -> None:
    net, cond = network(), made("c", 1, 3, 5)
    cache, sizes, kept = net.begin(cond, policy), [], []
    with torch.no_grad():
        for i in range(12):
            cache = net.remember(made(f"x{i}", 1, 4, 2, 4, 4), cond, cache)
            sizes.append(cache.bytes)
            kept.append(cache.frames)
    one = frame_bytes(layers=3, tokens=4, width=32, size=4)
    assert sizes == [2 * one, 4 * one] + [5 * one] * 10
    assert kept[-1] == (0, 1, 21, 22, 23)


def test_memory_of_wan_at_480p() -> None:
    assert frame_bytes(layers=30, tokens=1560, width=1536, size=2) == 287_539_200
    assert frame_bytes(layers=40, tokens=1560, width=5120, size=2) == 1_277_952_000


def test_a_full_cache_beyond_its_capacity_names_the_remedy() -> None:
    net = network()
    chunks = Chunks(2, Full(capacity=4))
    with pytest.raises(ValueError, match=r"cannot hold 6: make a shorter video, raise `capacity`, or use a Window\(4\)"):
        rollout(net, made("noise", 2, 4, 6, 4, 4), context(net), (1.0,), chunks=chunks)


def test_places_beyond_any_table() -> None:
    """A window with places of its own goes on past position 1024 as if it had just begun."""
    net, cond, x = network(), made("c", 1, 3, 5), made("x", 1, 4, 2, 4, 4)
    policy = Relative(window=4)
    with torch.no_grad():
        early = net.remember(x, cond, net.begin(cond, policy))
        late = net.remember(x, cond, replace(net.begin(cond, policy), seen=5000))
        a, b = (net(x, torch.tensor([0.5]), cond, cache).velocity for cache in (early, late))
    assert late.frames == (5000, 5001)
    assert torch.equal(a, b)


# --- changing the caption ----------------------------------------------------------------------------------------------------


def played(net: Wan, policy: CachePolicy, cond: Tensor, video: Tensor, size: int = 2) -> Any:
    cache = net.begin(cond, policy)
    with torch.no_grad():
        for at in range(0, video.shape[2], size):
            cache = net.remember(video[:, :, at : at + size], cond, cache)
    return cache


def test_a_recache_is_a_fresh_run_on_the_new_prompt() -> None:
    net, video = network(), made("video", 2, 4, 6, 4, 4)
    old, new = made("old", 2, 3, 5), made("new", 2, 3, 5)
    before = Context(old, None, played(net, Full(), old, video), video, 3, 6)
    after = Mover(net).switch(before, new, size=2)
    fresh = played(net, Full(), new, video)
    assert after.cond is new
    assert (after.cache.seen, after.cache.frames) == (fresh.seen, fresh.frames)
    for a, b, o in zip(after.cache.keys[1:], fresh.keys[1:], before.cache.keys[1:], strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        assert not torch.allclose(a, o, atol=1e-3)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(after.cache.text, fresh.text, strict=True))


@pytest.mark.parametrize("replay", [False, True])
def test_sinks_stay_or_are_replayed(replay: bool) -> None:
    """With a window the history is what the window holds, at its own places."""
    net, policy = network(), Window(window=6, sink=2, replay_sinks=replay)
    video, old, new = made("video", 2, 4, 8, 4, 4), made("old", 2, 3, 5), made("new", 2, 3, 5)
    cache = played(net, policy, old, video)
    assert cache.frames == (0, 1, 5, 6, 7)
    past = video[:, :, list(cache.frames)]
    after = Mover(net).switch(Context(old, None, cache, past, 4, 8), new, size=2).cache
    assert (after.seen, after.frames) == (8, cache.frames)
    sinks = [torch.equal(a[:, :8], o[:, :8]) for a, o in zip(after.keys[1:], cache.keys[1:], strict=True)]
    assert sinks == [not replay] * 2
    with torch.no_grad():
        start = replace(net.begin(new, policy), **({} if replay else kept_sinks(cache)))
        wanted = net.remember(video[:, :, :2], new, start) if replay else start
        wanted = net.remember(video[:, :, 5:6], new, replace(wanted, seen=5))
        wanted = net.remember(video[:, :, 6:8], new, wanted)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(after.keys, wanted.keys, strict=True))


def test_a_recache_as_a_whole_sees_both_ways() -> None:
    """The measured fault: what is replayed at once is one bidirectional chunk, which generation never made."""
    net, video = network(), made("video", 2, 4, 6, 4, 4)
    old, new = made("old", 2, 3, 5), made("new", 2, 3, 5)
    policy = Full(recache_whole=True)
    after = Mover(net).switch(Context(old, None, played(net, policy, old, video), video, 3, 6), new, size=2).cache
    at_once, in_order = played(net, policy, new, video, size=6), played(net, policy, new, video)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(after.keys, at_once.keys, strict=True))
    assert not any(torch.allclose(a, b, atol=1e-3) for a, b in zip(after.keys[1:], in_order.keys[1:], strict=True))
    assert (after.seen, after.frames) == (6, tuple(range(6)))


def kept_sinks(cache: Any) -> dict[str, Any]:
    only = cache.only((0, 1))
    return {"frames": only.frames, "keys": only.keys, "values": only.values, "seen": 2}


def test_a_video_changes_its_caption_at_the_frame() -> None:
    net, noise = network(), made("noise", 2, 4, 6, 4, 4)
    other = made("other", 2, 3, 5)
    with torch.no_grad():
        plain, switched = (
            rollout(net, noise, context(net), even(2, 5.0), chunks=Chunks(2), switch=switch).video
            for switch in (None, (4, other))
        )
    moved = (plain - switched).abs().amax((0, 1, 3, 4)) > 1e-5
    assert moved.tolist() == [False] * 4 + [True] * 2


# --- rollouts ----------------------------------------------------------------------------------------------------------------


def test_a_given_first_frame_stands_in_front_and_is_seen() -> None:
    net, noise = network(), made("noise", 2, 4, 4, 4, 4)
    images = [made(name, 2, 4, 1, 4, 4) for name in ("one", "two")]
    with torch.no_grad():
        videos = [rollout(net, noise, context(net), even(2, 5.0), chunks=Chunks(2), given=image).video for image in images]
    assert [v.shape[2] for v in videos] == [5, 5]
    assert torch.equal(videos[0][:, :, :1], images[0])
    assert not torch.allclose(videos[0][:, :, 1:], videos[1][:, :, 1:], atol=1e-4)


def test_a_first_chunk_with_a_grid_and_a_size_of_its_own() -> None:
    net, chunks = network(), Chunks(3, first=1, first_grid=even(4, 5.0))
    with torch.no_grad():
        found = rollout(net, made("noise", 2, 4, 7, 4, 4), context(net), even(2, 5.0), chunks=chunks, exits=(3, 1, 0))
    assert [stop.frames for stop in found.stops] == [(0, 1), (1, 4), (4, 7)]
    assert [stop.sigma for stop in found.stops] == [even(4, 5.0)[3], even(2, 5.0)[1], 1.0]
    assert found.nfe == 4 + 2 + 1


def test_exits_are_shared_or_own_and_a_first_grid_has_its_own() -> None:
    grid, draws = even(8, 5.0), [Draws(0)("student", i) for i in range(200)]
    shared = [Chunks(2).exits(d, grid, 3) for d in draws]
    assert all(len(set(e)) == 1 for e in shared)
    assert {e[0] for e in shared} == set(range(8))
    own = [Chunks(2, own_exits=True).exits(d, grid, 3) for d in draws]
    assert sum(len(set(e)) > 1 for e in own) > 150
    first = [Chunks(2, first_grid=even(16, 5.0)).exits(d, grid, 3) for d in draws]
    assert max(e[0] for e in first) > 7
    assert all(e[1] == e[2] for e in first)


def test_only_the_last_window_has_a_gradient() -> None:
    net = network()
    found = rollout(net, made("noise", 2, 4, 8, 4, 4), context(net), (1.0,), chunks=Chunks(2), grad=True, scored=3)
    assert [stop.velocity.requires_grad for stop in found.stops] == [False, False, True, True]


def test_context_noise_is_what_the_cache_is_written_with() -> None:
    net, noise = network(), made("noise", 2, 4, 4, 4, 4)
    with torch.no_grad():
        plain, noisy = (
            rollout(net, noise, context(net), (1.0,), chunks=Chunks(2, Full(context_noise=level))).video for level in (0.0, 0.3)
        )
    assert torch.equal(plain[:, :, :2], noisy[:, :, :2])
    assert not torch.allclose(plain[:, :, 2:], noisy[:, :, 2:], atol=1e-4)


def test_a_rollout_in_two_halves_is_one_rollout() -> None:
    """What a long video carries from update to update is all that its future depends on."""
    net, noise = network(), made("noise", 2, 4, 8, 4, 4)
    chunks, grid = Chunks(2, Window(window=5, sink=1)), even(2, 5.0)
    with torch.no_grad():
        whole = rollout(net, noise, context(net), grid, "sde", chunks=chunks).video
        half = rollout(net, noise[:, :, :4], context(net), grid, "sde", chunks=chunks, keep=True)
        rest = rollout(net, noise[:, :, 4:], half.context, grid, "sde", chunks=chunks)
    assert torch.allclose(whole, torch.cat([half.video, rest.video], 2), atol=1e-6)
    assert [stop.frames for stop in rest.stops] == [(4, 6), (6, 8)]


def test_pieces_are_flush_with_the_end_of_their_run() -> None:
    assert pieces([0, 1, 5, 6, 7], 2) == [(0, 2), (5, 1), (6, 2)]
    assert pieces(list(range(6)), 3) == [(0, 3), (3, 3)]
    assert pieces([], 2) == []


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Window(window=3, sink=3), "0 ≤ sink < window, got sink 3, window 3"),
        (lambda: Full(past="gone"), "one of detached, attached, leaky, got 'gone'"),
        (lambda: Full(context_noise=1.0), r"context noise is a noise level in \[0, 1\), got 1.0"),
        (lambda: Window(window=4, sink=2).kept(8, 3), "4 - 2, got 3 frames"),
        (lambda: Chunks(3).sizes(7), "7 latent frames are not 3 and a multiple of 3"),
    ],
)
def test_errors_name_value_and_rule(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
