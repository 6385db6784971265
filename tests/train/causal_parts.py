"""Causal networks and recipes for tests, small enough for explicit masks and for training in a second."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tiny import GRID2, GRID4, SPEC, student
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.caches.window import Window
from salt_train.objectives.base import Objective
from salt_train.objectives.dmd import DMD
from salt_train.recipe import Recipe, Sampling, Stream
from salt_train.rollout import Chunks, Context, Renoise

FRAMES = 9
DEEP = WanSpec(width=32, heads=2, layers=3, hidden=32, timeless=True)
CAUSAL = replace(SPEC, timeless=True)
CHUNKS = Chunks(2)


def network(dtype: torch.dtype = torch.float32) -> Wan:
    """On latents (4, 9, 4, 4), with three layers whose caches can be told apart."""
    torch.manual_seed(0)
    net = DEEP.build((4, FRAMES, 4, 4), 5, torch.linspace(0.5, 1.5, 4))
    assert isinstance(net, Wan)
    return net.to(dtype)


def made(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """N(0, 1), drawn by its name."""
    return torch.from_numpy(Draws(1)(name).normal(shape)).to(dtype)


def context(net: Wan, batch: int = 2, seed: int = 3) -> Context:
    return Context(made("c", batch, 3, 5), Renoise(tuple(Draws(seed)("video", i) for i in range(batch))))


def wan(seed: int, layers: int = 2) -> Backbone:
    """On latents (6, 6, 4, 4)."""
    torch.manual_seed(seed)
    return replace(CAUSAL, layers=layers).build((6, 6, 4, 4), 5, torch.ones(6))


def causal(*objectives: Objective, steps: int = 4, chunks: Chunks = CHUNKS, **changes: Any) -> Recipe:
    base = student(*objectives, steps=steps)
    sampling = Sampling(GRID4, update="sde", chunks=chunks)
    return replace(base, backbone=CAUSAL, sampling=sampling, chunks=chunks, update="sde", **changes)


def long_video(steps: int = 6, **changes: Any) -> Recipe:
    stream = Stream(new=4, longest=14, switches=1.0)
    return causal(DMD(), steps=steps, chunks=Chunks(2, Window(window=4, sink=1)), grid=GRID2, stream=stream, **changes)
