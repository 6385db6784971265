"""The fast sampler gives the numbers of the plain one: over every cache policy, window, guidance and switch of caption."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.live.placed import Memory
from salt_train.live.swift import Swift
from salt_train.rollout import Chunks, Context, Mover, Renoise, walk

SPEC = WanSpec(24, 2, 3, 48, frequencies=16, waves=0, precondition=False, timeless=True)
SHAPES = replace(SPEC, waves=2, precondition=True)
LATENT, WORDS, GRID = (4, 12, 8, 12), 10, (1.0, 0.9, 0.6)
POLICIES = (Full(), Window(window=6, sink=1), Window(window=6, sink=3), Window(window=4), Relative(window=6, sink=2))


def networks(spec: WanSpec = SPEC, room: int = 4) -> tuple[Wan, Swift]:
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        net = Wan(spec, LATENT, WORDS, torch.linspace(0.5, 1.5, LATENT[0]))
        for parameter in net.parameters():
            parameter.data.add_(0.2 * torch.randn(parameter.shape))
        made.append(net)
    plain, other = made
    return plain.requires_grad_(False), Swift(other, room, torch.float32)


def noise(frames: int = LATENT[1], batch: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, LATENT[0], frames, *LATENT[2:])


def cond(seed: int = 2, batch: int = 2) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(batch, 5, WORDS)


def video(net: Wan | Swift, chunks: Chunks | None, guidance: float = 1.0, switch: tuple[int, Tensor] | None = None) -> Tensor:
    sources = tuple(Draws(0)("video", i) for i in range(2))
    mover = Mover(net, guidance, lambda text: torch.zeros_like(text))
    frames = 12 if chunks is None else 12 if chunks.first is None else 10
    states = walk(mover, noise(frames), Context(cond(), Renoise(sources)), GRID, "sde", chunks=chunks, switch=switch)
    return torch.cat([state.x for state in states if not state.sigma], 2)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize("spec", [SPEC, SHAPES], ids=["real", "shapes"])
def test_the_same_video_under_every_policy(policy: CachePolicy, spec: WanSpec) -> None:
    plain, swift = networks(spec)
    for chunks in (Chunks(3, policy), Chunks(1, policy), Chunks(3, policy, first=1)):
        if isinstance(policy, Window) and chunks.size > policy.window - policy.sink:
            continue
        expected = video(plain, chunks)
        assert close(video(swift, chunks), expected)
        assert not close(expected, video(plain, Chunks(chunks.size, Window(window=3), chunks.first)))  # the past is seen


def test_the_same_video_at_once() -> None:
    plain, swift = networks(replace(SPEC, timeless=False))
    assert close(video(swift, None), video(plain, None))


def test_the_same_video_under_guidance_and_a_new_caption() -> None:
    plain, swift = networks()
    chunks = Chunks(3, Window(window=9, sink=3))
    for guidance, switch in ((3.0, None), (1.0, (6, cond(5))), (3.0, (6, cond(5)))):
        expected = video(plain, chunks, guidance, switch)
        assert close(video(swift, chunks, guidance, switch), expected)
    assert not close(expected, video(plain, chunks, 3.0))
    whole = Chunks(3, Window(window=9, sink=3, replay_sinks=True))
    assert close(video(swift, whole, switch=(6, cond(5))), video(plain, whole, switch=(6, cond(5))))


def test_a_window_is_never_moved() -> None:
    """Once it is full, the memory stays where it is; what is forgotten is overwritten."""
    _, swift = networks(room=6)
    cache, text = None, cond()
    with torch.no_grad():
        cache, places = swift.begin(text, Window(window=6, sink=3)), []
        for x in noise().split(3, 2):
            swift(x, torch.full((2,), 0.5), text, cache)
            cache = swift.remember(x, text, cache)
            assert cache.holder.memory is not None
            places.append((cache.holder.memory.keys[0].data_ptr(), *cache.holder.memory.places))
    assert len({first for first, *_ in places}) == 1
    assert [rest for _, *rest in places] == [[0, 1, 2, None, None, None], *([0, 1, 2, n, n + 1, n + 2] for n in (3, 6, 9))]
    assert cache.frames == (0, 1, 2, 10, 11)  # what a single frame would read


def test_reading_again_gives_the_same_and_an_old_cache_is_refused() -> None:
    _, swift = networks()
    x, text, level = noise(3), cond(), torch.full((2,), 0.5)
    with torch.no_grad():
        empty = swift.begin(text, Full())
        cache = swift.remember(x, text, empty)
        first = swift(2 * x, level, text, cache).velocity
        assert torch.equal(swift(x, level, text, cache).velocity, swift(x, level, text, cache).velocity)
        assert torch.equal(swift(2 * x, level, text, cache).velocity, first)
        with pytest.raises(ValueError, match=r"this cache of 0 latent frames has been overwritten by later ones"):
            swift(x, level, text, empty)
        swift.remember(x, text, swift.begin(text, Full()))  # another video has a memory of its own
        assert torch.equal(swift(2 * x, level, text, cache).velocity, first)


def test_what_only_the_plain_network_does_is_refused() -> None:
    _, swift = networks()
    with pytest.raises(ValueError, match="this network samples, without gradients"):
        swift(noise(3), torch.full((2,), 0.5), cond())


def test_room_is_where_neighbours_are_free() -> None:
    memory = Memory.empty(1, 6, 1, torch.zeros(1, 2))
    assert memory.room((), 3) == 0
    memory.places = [0, 1, 2, 3, 4, 5]
    assert memory.room((0, 1, 2), 3) == 3
    assert memory.room((0, 4, 5), 3) == 1
    assert memory.room((0, 2, 4), 3) is None  # apart
    assert memory.room((0, 1, 2, 3), 3) is None  # too few
    assert memory.room((4, 5), 1) is None  # a gap in front
    memory = memory.arranged((4, 5), 1)
    assert (memory.places, memory.room((4, 5), 1)) == ([4, 5, None, None, None, None], 2)


def test_half_precision_is_near() -> None:
    plain, _ = networks()
    _, other = networks()
    half = Swift(other.wan, 12, torch.bfloat16)
    chunks = Chunks(3, Relative(window=6, sink=2))
    expected, found = video(plain, chunks), video(half, chunks)
    assert found.dtype == torch.float32
    assert 0 < float((found - expected).norm() / expected.norm()) < 0.03
