"""Rollouts in chunks: given frames, grids and exits of their own, scored windows, and where they are cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from causal_parts import context, made, network

from salt_bench.rng import Draws
from salt_train.caches.full import Full
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.rollout import Chunks, pieces, rollout


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
