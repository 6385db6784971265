"""What a causal network remembers: gradients of the past, captions, memory, and what a change of caption does to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from causal_parts import context, made, network
from torch import Tensor

from salt_train.backbones.wan import Wan
from salt_train.caches.base import CachePolicy, Piece, frame_bytes
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.rollout import Chunks, Context, Mover, level, rollout


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


@pytest.mark.parametrize("past", ["attached", "leaky"])
def test_every_chunk_gets_its_gradient_directly(past: str) -> None:
    net, noise = network(), made("noise", 2, 4, 6, 4, 4)
    found = rollout(net, noise, context(net), (1.0, 0.5), chunks=Chunks(2, Full(past=past)), grad=True)
    last, keys = found.stops[-1], [piece.keys[0] for piece in found.stops[-1].cache.pieces]
    assert [k.requires_grad for k in keys] == [True, True]
    given = torch.autograd.grad(last.velocity.square().mean(), keys)
    assert all(g.abs().max() > 0 for g in given)


def overwritten(fresh: Piece, written: list[tuple[Tensor, Tensor]]) -> Piece:
    """What public code's buffers become: the pass that wrote them as autograd recorded it, their numbers replaced by those of
    `fresh` behind autograd's back."""
    keys, values = (tuple(pair[i].clone() for pair in written) for i in (0, 1))
    for buffer, clean in zip((*keys, *values), (*fresh.keys, *fresh.values), strict=True):
        buffer.data.copy_(clean)
    return Piece(fresh.frames, keys, values)


@pytest.mark.parametrize("policy", [Full(past="leaky"), Window(window=4, sink=1, past="leaky")], ids=["full", "window"])
def test_a_leaky_past_has_the_gradient_of_buffers_that_are_written_twice(policy: CachePolicy) -> None:
    """Directly for every chunk, and through the later ones. The window cuts the first chunk in two."""
    net, noise = network(), made("noise", 2, 4, 6, 4, 4).requires_grad_(True)
    asked, videos = [noise, *net.parameters()], []
    found = rollout(net, noise, context(net), (1.0,), chunks=Chunks(2, policy), grad=True).video

    cond = context(net).cond
    cache = net.begin(cond, policy)
    for x in noise.split(2, 2):
        out = net(x, level(1.0, x), cond, cache)
        videos.append(x - out.velocity)
        with torch.no_grad():
            after = net.remember(videos[-1].detach(), cond, cache)
        newest = overwritten(after.pieces[-1], out.written)
        cache = replace(after, pieces=(*cache.only(after.frames).pieces, newest))

    one, other = (
        torch.autograd.grad(video[:, :, 4:].square().mean(), asked, allow_unused=True)
        for video in (found, torch.cat(videos, 2))
    )
    assert torch.allclose(found, torch.cat(videos, 2), atol=1e-6)
    assert (one[0].abs().amax((0, 1, 3, 4)) > 0).all()
    for a, b in zip(one, other, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b, rtol=1e-4, atol=1e-8)


def test_caches_of_a_rollout_share_what_they_hold() -> None:
    net, noise = network(), made("noise", 2, 4, 8, 4, 4)
    with torch.no_grad():
        full, window = (
            rollout(net, noise, context(net), (1.0, 0.5), chunks=Chunks(2, p)) for p in (Full(), Window(window=6, sink=2))
        )
    for found in (full, window):
        kept = [stop.cache.pieces for stop in found.stops]
        assert [len(pieces) for pieces in kept[1:3]] == [1, 2]
        assert kept[2][0] is kept[1][0]
    assert [piece.frames for piece in full.stops[3].cache.pieces] == [(0, 1), (2, 3), (4, 5)]
    assert [piece.frames for piece in window.stops[3].cache.pieces] == [(0, 1), (3,), (4, 5)]
    assert 2 * window.stops[3].cache.bytes == 5 * window.stops[1].cache.bytes > 0


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
    return {"pieces": cache.only((0, 1)).pieces, "seen": 2}


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
