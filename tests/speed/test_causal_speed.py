"""What a cache saves over recomputing the whole history, chunk by chunk, and whether a long rollout stays as fast and small."""

from __future__ import annotations

import statistics
import time
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from table import Figure, core_seconds, note

from salt_bench.worlds.shapes import ShapesWorld
from salt_train.backbones.base import Backbone, frozen
from salt_train.caches.base import KVCache
from salt_train.caches.full import Full
from salt_train.caches.window import Window
from salt_train.codecs.captions import Captions
from salt_train.flow import even
from salt_train.methods.shapes import CAUSAL, CODEC, SHIFT
from salt_train.rollout import Chunks, Context, Mover, walk

STEPS, SIZE = 4, 1  # denoising steps, and latent frames of a chunk
LENGTHS = (8, 32, 128)
CHUNKS, FULL_FROM = 60, 20  # ten times the 6 latent frames of training; the window is full long before chunk 20
ROUNDS = 15


@pytest.fixture(scope="module")
def net() -> Backbone:
    torch.manual_seed(0)
    channels, *_ = CODEC.shape()
    return frozen(CAUSAL.build(CODEC.shape(), Captions(ShapesWorld()).words, torch.ones(channels)))


@pytest.fixture(scope="module")
def cond() -> torch.Tensor:
    world = ShapesWorld()
    return Captions(world)(world.prompts("test")[:1])


def latent(frames: int) -> torch.Tensor:
    channels, _, *size = CODEC.shape()
    return torch.randn(1, channels, frames, *size)


def with_cache(net: Backbone, cond: torch.Tensor, cache: KVCache, x: torch.Tensor) -> None:
    for _ in range(STEPS):
        net(x, torch.tensor([0.5]), cond, cache)
    net.remember(x, cond, cache)


def from_scratch(net: Backbone, cond: torch.Tensor, x: torch.Tensor) -> None:
    """Every step looks at all frames again. Without a mask, which would only cost more."""
    for _ in range(STEPS):
        net(x, torch.full((1, x.shape[2]), 0.5), cond)


@pytest.mark.parametrize("chunks", LENGTHS)
def test_a_chunk_against_the_whole_history(chunks: int, benchmark: Any, net: Backbone, cond: torch.Tensor) -> None:
    video = latent(chunks * SIZE)
    with torch.no_grad():
        cache = net.remember(video[:, :, SIZE:], cond, net.begin(cond, Full()))
        works = [partial(with_cache, net, cond, cache, video[:, :, -SIZE:]), partial(from_scratch, net, cond, video)]
        for work in works:
            work()
        found = benchmark.pedantic(lambda: [[core_seconds(w) for w in works] for _ in range(ROUNDS)], rounds=1)
    cached, naive = (statistics.median(column) for column in zip(*found, strict=True))
    note(Figure(f"chunk {chunks}, full cache", cached * 1000, "core-ms"))
    note(Figure(f"chunk {chunks}, whole history again", naive * 1000, "core-ms"))
    note(Figure(f"chunk {chunks}, ratio", naive / cached, "", 1.0))
    assert naive > cached


def chunk_seconds(net: Backbone, cond: torch.Tensor, chunks: Chunks) -> tuple[list[float], list[int]]:
    """Core-seconds of every chunk of a long rollout, and the bytes of the cache behind it. The last chunk is remembered like
    all others, or it would cost a fifth less."""
    marks, sizes = [time.process_time()], []
    noise, context = latent(CHUNKS * SIZE), Context(cond, None)
    for state in walk(Mover(net), noise, context, even(STEPS, SHIFT), chunks=chunks, keep=True):
        if not state.sigma:
            marks.append(time.process_time())
            sizes.append(state.context.cache.bytes)
    return [b - a for a, b in pairwise(marks)], sizes


def furthest(seconds: list[float]) -> float:
    """The largest distance from the median, as a share of it."""
    middle = statistics.median(seconds)
    return max(abs(s / middle - 1) for s in seconds)


def test_a_long_rollout_stays_as_fast_and_as_small(benchmark: Any, net: Backbone, cond: torch.Tensor) -> None:
    chunks = Chunks(SIZE, Window(window=6, sink=2))
    with torch.no_grad():
        runs = benchmark.pedantic(lambda: [chunk_seconds(net, cond, chunks) for _ in range(ROUNDS)], rounds=1)
    best = [min(column) for column in zip(*(seconds for seconds, _ in runs), strict=True)][FULL_FROM:]
    early, late = (statistics.median(half) for half in (best[: len(best) // 2], best[len(best) // 2 :]))
    note(Figure(f"chunks {FULL_FROM} to {CHUNKS}, second half over first", abs(late / early - 1), "away", 0.10, -1))
    note(Figure(f"chunks {FULL_FROM} to {CHUNKS}, furthest from the median", furthest(best), "away", 0.10, -1))
    sizes = runs[0][1]
    note(Figure("cache of a full window of 6, 2 of them sinks", max(sizes) / 1024, "KiB"))
    assert set(sizes[FULL_FROM:]) == {max(sizes)}
