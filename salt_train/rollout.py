"""The loop from noise to video, for training and for sampling, for one chunk of all frames and for many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone
from salt_train.flow import clean, move, noised


@dataclass(frozen=True, eq=False)
class Stop:
    """Where one chunk left the grid: the state `x` at noise level `sigma`, the velocity there (with gradient where the rollout
    has one), the frozen cache that it was computed against, and the frames [first, last) that it covers."""

    x: Tensor
    sigma: float
    velocity: Tensor
    cache: Any
    frames: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Rollout:
    """`video` (B, C, F, H, W) is x̂_0 of every chunk at its exit; `stops` has one entry per chunk; `nfe` counts network calls
    of `forward`, those that write a cache not included."""

    video: Tensor
    stops: tuple[Stop, ...]
    nfe: int


@dataclass(frozen=True, eq=False)
class Renoise:
    """Fresh noise for the stochastic update, by name: the same (chunk, noise level) gives the same noise under every grid, so
    that rollouts of different step counts share what they can. `names` has one source per video of the batch."""

    sources: tuple[Draws, ...]

    def __call__(self, like: Tensor, chunk: int, sigma: float) -> Tensor:
        draws = [d("renoise", chunk, round(sigma * 1e6)).normal(tuple(like.shape[1:])) for d in self.sources]
        return torch.stack([torch.from_numpy(d) for d in draws]).to(like)


def rollout(
    net: Backbone,
    noise: Tensor,
    cond: Tensor,
    grid: tuple[float, ...],
    draws: Renoise | None,
    *,
    chunk: int | None = None,
    exit: int | None = None,
    update: str = "ode",
    grad: bool = False,
) -> Rollout:
    """Takes `noise` (B, C, F, H, W) down `grid` (noise levels from 1; the final 0 is implied), `chunk` frames at a time.

    With `exit` = k every chunk stops at grid[k] and gives x̂_0 from there; only that evaluation has a gradient, and only if
    `grad` is set (Self Forcing; Salt, "rollout"). `update` is "ode", Ψ between grid points, or "sde", x ← noised(x̂_0) with
    fresh noise from `draws`. A bidirectional model is a causal one with a single chunk.
    """
    frames = noise.shape[2]
    chunk = frames if chunk is None else chunk
    if frames % chunk:
        raise ValueError(f"chunks fill the video: {frames} latent frames do not divide into chunks of {chunk}")
    last = len(grid) - 1 if exit is None else exit
    if not 0 <= last < len(grid):
        raise ValueError(f"an exit is one of the grid's {len(grid)} points, 0 to {len(grid) - 1}, got {last}")
    videos, stops, cache = [], [], None
    for index, first in enumerate(range(0, frames, chunk)):
        stop = _descend(net, noise[:, :, first : first + chunk], cond, grid[: last + 1], draws, cache, index, update, grad)
        stops.append(replace(stop, frames=(first, first + chunk)))
        videos.append(clean(stop.x, stop.velocity, stop.sigma))
        if first + chunk < frames:
            with torch.no_grad():
                cache = net.remember(videos[-1].detach(), cond, cache)  # it may keep the very tensor that it is given
    video = videos[0] if len(videos) == 1 else torch.cat(videos, 2)
    return Rollout(video, tuple(stops), (last + 1) * len(stops))


def _descend(
    net: Backbone,
    x: Tensor,
    cond: Tensor,
    grid: tuple[float, ...],
    draws: Renoise | None,
    cache: Any,
    chunk: int,
    update: str,
    grad: bool,
) -> Stop:
    """One chunk from noise to the last point of `grid`: the state there and the velocity at it."""
    for sigma, following in pairwise(grid):
        with torch.no_grad():
            x = advance(net, x, cond, sigma, following, draws, cache, chunk, update)
    with torch.set_grad_enabled(grad):
        velocity = net(x, level(sigma=grid[-1], like=x), cond, cache).velocity
    return Stop(x, grid[-1], velocity, cache, (0, 0))


def advance(
    net: Backbone,
    x: Tensor,
    cond: Tensor,
    sigma: float,
    following: float,
    draws: Renoise | None,
    cache: Any,
    chunk: int,
    update: str,
) -> Tensor:
    """One step of the sampler from `sigma` to `following`."""
    velocity = net(x, level(sigma, x), cond, cache).velocity
    if update == "ode" or following == 0:
        return move(x, velocity, sigma, following)
    if update != "sde" or draws is None:
        raise ValueError(f'an update is "ode", or "sde" with draws for its noise, got {update!r} and {draws}')
    return noised(clean(x, velocity, sigma), draws(x, chunk, following), following)


def level(sigma: float, like: Tensor) -> Tensor:
    """σ as (B,) float32, never in a lower precision: bf16 keeps 294 of 1000 timesteps apart."""
    return torch.full((len(like),), sigma, dtype=torch.float32, device=like.device)
