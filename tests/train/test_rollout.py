"""The loop from noise to video: where it stops, what carries the gradient, and what a chunk sees of those before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from tiny import GRID2, GRID4, GRID8, Field, mixed, sources, step, wan
from torch import Tensor, nn

from salt_bench.rng import Draws
from salt_bench.types import State
from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.caches.base import CachePolicy
from salt_train.flow import clean, noised
from salt_train.rollout import Chunks, Context, Renoise, Rollout, advance, level, rollout

UPDATES = ("ode", "sde")


@dataclass(frozen=True, eq=False)
class Memory:
    """The toy's cache: the chunks that it remembers."""

    policy: CachePolicy
    chunks: tuple[Tensor, ...] = ()
    frames: tuple[int, ...] = ()


class Running(Backbone):
    """A causal toy: v = p·x + the sum of the past."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(0.5))
        self.seen: list[tuple[int, float]] = []
        self.kept: list[tuple[Tensor, bool]] = []

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        past = cache.chunks if cache else ()
        self.seen.append((len(past), round(float(sigma[0]), 4)))
        return Output(self.p * x + sum(chunk.mean() for chunk in past))

    def begin(self, cond: Tensor, policy: CachePolicy) -> Memory:
        return Memory(policy)

    def remember(self, x: Tensor, cond: Tensor, cache: Memory, sigma: float = 0.0) -> Memory:
        self.kept.append((x, torch.is_grad_enabled()))
        frames = (*cache.frames, *range(len(cache.frames), len(cache.frames) + x.shape[2]))
        return Memory(cache.policy, (*cache.chunks, x), frames)


def roll(
    net: Backbone,
    start: Tensor,
    cond: Tensor,
    grid: tuple[float, ...],
    renoise: Renoise | None,
    *,
    size: int | None = None,
    exit: int | None = None,
    update: str = "ode",
    grad: bool = False,
) -> Rollout:
    """A rollout in chunks of `size` frames that share an exit."""
    chunks = Chunks(size) if size else None
    exits = None if exit is None else (exit,) * (start.shape[2] // (size or start.shape[2]))
    return rollout(net, start, Context(cond, renoise), grid, update, chunks=chunks, exits=exits, grad=grad)


def noise(*shape: int) -> Tensor:
    return torch.from_numpy(Draws(5)("noise").normal(shape))


def curved(x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
    return torch.tanh(x) * (1 + sigma.view(-1, 1, 1, 1, 1))


def states(update: str, grid: tuple[float, ...] = GRID4) -> list[State]:
    """Every state between the noise of `noise(2, 1, 2, 3, 3)` and the video, step by step over `curved`."""
    found = [State(noise(2, 1, 2, 3, 3), 1.0, context=Context(torch.zeros(2, 1, 1), Renoise(sources(2))))]
    for sigma, following in zip(grid, (*grid[1:], 0.0), strict=True):
        velocity = curved(found[-1].x, level(sigma, found[-1].x), found[-1].x)
        found.append(advance(found[-1], velocity, following, update))
    return found


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("exit", range(4))
def test_an_exit_stops_on_the_samplers_own_path(update: str, exit: int) -> None:
    start = noise(2, 1, 2, 3, 3)
    found = roll(Field(curved), start, torch.zeros(2, 1, 1), GRID4, Renoise(sources(2)), exit=exit, update=update)
    (stop,) = found.stops
    assert stop.sigma == GRID4[exit]
    assert torch.allclose(stop.x, states(update)[exit].x, atol=1e-6)
    assert torch.allclose(found.video, clean(stop.x, curved(stop.x, level(stop.sigma, stop.x), stop.x), stop.sigma))
    assert found.nfe == exit + 1
    assert stop.frames == (0, 2)


@pytest.mark.parametrize("update", UPDATES)
def test_a_full_rollout_is_the_samplers_video(update: str) -> None:
    start = noise(2, 1, 2, 3, 3)
    found = roll(Field(curved), start, torch.zeros(2, 1, 1), GRID4, Renoise(sources(2)), update=update)
    assert torch.allclose(found.video, states(update)[-1].x, atol=1e-6)
    assert found.nfe == 4


def test_the_two_updates_differ_after_the_first_step() -> None:
    ode, sde = states("ode"), states("sde")
    assert torch.equal(ode[0].x, sde[0].x)
    assert not torch.allclose(ode[1].x, sde[1].x, atol=0.1)


def test_only_the_exit_has_a_gradient() -> None:
    made = step(wan())
    net = made.student
    found = roll(net, made.noise, made.cond, GRID8, None, exit=3, grad=True)
    again = clean(found.stops[0].x, net(found.stops[0].x, level(GRID8[3], made.noise), made.cond).velocity, GRID8[3])
    assert not found.stops[0].x.requires_grad
    weights = list(net.parameters())
    one, two = (torch.autograd.grad(video.square().mean(), weights, allow_unused=True) for video in (found.video, again))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True) if a is not None and b is not None)
    assert sum(float(g.abs().sum()) for g in one if g is not None) > 0
    field = Field(curved)
    roll(field, made.noise, made.cond, GRID8, None, exit=3, grad=True)
    assert [call[3] for call in field.calls] == [False, False, False, True]


def test_without_grad_there_is_none() -> None:
    made = step(wan(), grad=False)
    assert not made.rollout.video.requires_grad
    assert not made.rollout.stops[0].velocity.requires_grad
    assert step(wan(), grad=True).rollout.video.requires_grad


def test_a_step_rolls_out_once() -> None:
    net = Field(curved)
    made = step(net, shape=(2, 1, 2, 3, 3), exit=3)
    assert made.rollout is made.rollout
    assert len(net.calls) == 4


def test_fresh_noise_has_a_name_that_all_grids_share() -> None:
    """A model that always guesses the same video reaches the same state at every shared noise level, however it came there."""
    video = noise(1, 1, 2, 3, 3)
    net = Field(lambda x, s, c: (x - video) / s.view(-1, 1, 1, 1, 1))
    renoise, start, cond = Renoise(sources(1)), noise(1, 1, 2, 3, 3), torch.zeros(1, 1, 1)
    at = [roll(net, start, cond, g, renoise, exit=g.index(GRID2[1]), update="sde").stops[0].x for g in (GRID2, GRID4, GRID8)]
    assert torch.allclose(at[0], at[1], atol=1e-6)
    assert torch.allclose(at[0], at[2], atol=1e-6)
    assert torch.allclose(at[0], noised(video, renoise(video, 0, GRID2[1]), GRID2[1]), atol=1e-6)
    assert not torch.equal(renoise(video, 0, GRID4[1]), renoise(video, 0, GRID4[2]))
    assert not torch.equal(renoise(video, 0, GRID4[1]), renoise(video, 1, GRID4[1]))


def test_fresh_noise_is_a_videos_own_whatever_the_batch() -> None:
    a, b = sources(2)
    like = noise(2, 1, 2, 3, 3)
    both = Renoise((a, b))(like, 0, 0.5)
    assert torch.equal(both[1:], Renoise((b,))(like[1:], 0, 0.5))
    assert not torch.equal(both[0], both[1])


def test_chunks_see_the_clean_past_and_nothing_else() -> None:
    net, start = Running(), noise(2, 1, 6, 2, 2)
    found = roll(net, start, torch.zeros(2, 1, 1), GRID2, None, size=2)
    assert [stop.frames for stop in found.stops] == [(0, 2), (2, 4), (4, 6)]
    assert net.seen == [(n, round(sigma, 4)) for n in range(3) for sigma in GRID2]
    assert len(net.kept) == 2  # nobody reads the last chunk
    assert all(torch.equal(x, found.video[:, :, 2 * n : 2 * n + 2]) for n, (x, _) in enumerate(net.kept))
    assert [len(stop.cache.chunks) for stop in found.stops] == [0, 1, 2]
    assert found.nfe == 6
    wanted, past = [], torch.tensor(0.0)
    for n in range(3):
        x = start[:, :, 2 * n : 2 * n + 2]
        for sigma, following in zip(GRID2, (*GRID2[1:], 0.0), strict=True):
            x = x - (sigma - following) * (0.5 * x + past)
        wanted.append(x)
        past = past + x.mean()
    assert torch.allclose(found.video, torch.cat(wanted, 2), atol=1e-6)


def test_one_chunk_of_all_frames_is_the_default() -> None:
    start, cond = noise(2, 1, 4, 2, 2), torch.zeros(2, 1, 1)
    whole, named = (roll(Running(), start, cond, GRID4, None, size=chunk).video for chunk in (None, 4))
    assert torch.equal(whole, named)
    assert not torch.allclose(whole, roll(Running(), start, cond, GRID4, None, size=2).video)


def test_no_gradient_flows_through_the_past() -> None:
    """The last chunk's loss feels its own exit alone, even where the network keeps the very chunk that it is given."""
    net = Running()
    found = roll(net, noise(2, 1, 4, 2, 2), torch.zeros(2, 1, 1), GRID2, None, size=2, exit=1, grad=True)
    last = found.stops[1]
    (found_gradient,) = torch.autograd.grad(found.video[:, :, 2:].sum(), [net.p])
    assert float(found_gradient) == pytest.approx(float(-(GRID2[1] * last.x).sum()), rel=1e-5)
    assert [(x.requires_grad, on) for x, on in net.kept] == [(False, False)]


def test_chunks_renoise_by_their_own_names() -> None:
    net, renoise = Running(), Renoise(sources(1))
    found = roll(net, noise(1, 1, 4, 2, 2), torch.zeros(1, 1, 1), GRID2, renoise, size=2, exit=1, update="sde")
    first = noise(1, 1, 4, 2, 2)[:, :, :2]
    wanted = noised(0.5 * first, renoise(first, 0, GRID2[1]), GRID2[1])
    assert torch.allclose(found.stops[0].x, wanted, atol=1e-6)
    assert not torch.allclose(found.stops[0].x, found.stops[1].x, atol=0.1)


def test_the_noise_level_is_never_in_a_low_precision() -> None:
    """bf16 keeps 294 of 1000 timesteps apart."""
    assert level(0.9375, torch.zeros(3, 1, dtype=torch.bfloat16)).dtype == torch.float32
    assert level(0.9375, torch.zeros(3, 1)).tolist() == [0.9375] * 3


def test_errors_say_the_value_and_the_rule() -> None:
    start, cond, net = noise(1, 1, 4, 2, 2), torch.zeros(1, 1, 1), Running()
    with pytest.raises(ValueError, match="4 latent frames are not 3 and a multiple of 3"):
        roll(net, start, cond, GRID4, None, size=3)
    for update, draws in (("sde", None), ("euler", Renoise(sources(1)))):
        with pytest.raises(ValueError, match=f'an update is "ode", or "sde" with draws for its noise, got {update!r}'):
            roll(net, start, cond, GRID4, draws, update=update)
    for wrong in (4, -1):
        with pytest.raises(ValueError, match=f"an exit is one of the grid's 4 points, 0 to 3, got {wrong}"):
            roll(net, start, cond, GRID4, None, exit=wrong)


def test_a_network_that_knows_its_places_in_time_refuses_others() -> None:
    net, made = wan(), step(wan())
    with pytest.raises(ValueError, match="takes all 2 latent frames at once, got 1"):
        net(made.noise[:, :, :1], torch.ones(2), made.cond)
    longer = torch.cat([made.noise, made.noise], 2)
    with pytest.raises(ValueError, match="knows 2 latent frames by their place in time, got 2 to 2"):
        roll(net, longer, made.cond, GRID2, None, size=1)


def test_the_toy_mixes_as_it_says() -> None:
    assert torch.equal(mixed(torch.eye(2), noise(1, 2, 1, 1, 1)), noise(1, 2, 1, 1, 1))
