"""Networks and recipes that train in a second, and velocity fields with known answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from salt_bench.rng import Draws
from salt_bench.worlds.shapes import ShapesWorld
from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.caches.base import CachePolicy
from salt_train.codecs.pca import PCACodec
from salt_train.flow import even
from salt_train.objectives.base import Objective, Step
from salt_train.objectives.dmd import DMD
from salt_train.objectives.flow_matching import FlowMatching
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Optimiser, Recipe, Sampling
from salt_train.rollout import Renoise

WORLD = ShapesWorld()
CODEC = PCACodec(WORLD, channels=6, clips=32)
SPEC = WanSpec(width=16, heads=2, layers=1, hidden=16)
MATRIX = torch.tensor([[0.6, -0.4], [0.3, 0.9]], dtype=torch.float64)
GRID8, GRID4, GRID2 = (even(n, 5.0) for n in (8, 4, 2))


def quiet(stage: str, fraction: float) -> None:
    """A log that nobody reads."""


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint by name."""
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def teacher(steps: int = 6) -> Recipe:
    optimiser = Optimiser(rate=3e-3, muon=True, warmup=2, decay=0.4)
    return Recipe(WORLD, CODEC, SPEC, (FlowMatching(),), Sampling(GRID4, guidance=2.0), steps, 2, optimiser)


def student(*objectives: Objective, steps: int = 6) -> Recipe:
    """SC-DMD unless said otherwise; two updates of the critic for each of the student."""
    optimiser = Optimiser(rate=3e-4, betas=(0.0, 0.99))
    base = Recipe(WORLD, CODEC, SPEC, objectives or (DMD(), SelfConsistency()), Sampling(GRID4), steps, 2, optimiser)
    return replace(base, teacher=teacher(), grid=GRID8, critic_updates=2, critic=optimiser, ema=0.9)


def wan(seed: int = 0, layers: int = 1) -> Wan:
    """A real network on latents (6, 2, 4, 4) and captions of 5 features, with random weights everywhere."""
    torch.manual_seed(seed)
    net = replace(SPEC, layers=layers).build((6, 2, 4, 4), 5, torch.linspace(0.5, 1.5, 6))
    assert isinstance(net, Wan)
    return net


class Field(Backbone):
    """The velocity `f(x, sigma, cond)`; keeps its calls as (x, sigma, cond, whether gradients were on)."""

    def __init__(self, f: Callable[[Tensor, Tensor, Tensor], Tensor], channels: int = 1) -> None:
        super().__init__()
        self.f = f
        self.std = torch.ones(1, channels, 1, 1, 1)
        self.calls: list[tuple[Tensor, Tensor, Tensor, bool]] = []

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        self.calls.append((x, sigma, cond, torch.is_grad_enabled()))
        return Output(self.f(x, sigma, cond), None)

    def begin(self, cond: Tensor, policy: CachePolicy) -> Any:
        raise AssertionError("one chunk needs no memory")

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> Any:
        raise AssertionError("one chunk needs no memory")


class Mixing(Backbone):
    """v = A x over channels; `matrix` (C, C) is the parameter."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix.clone())

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        return Output(mixed(self.matrix, x), None)

    def begin(self, cond: Tensor, policy: CachePolicy) -> Any:
        raise AssertionError("one chunk needs no memory")

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> Any:
        raise AssertionError("one chunk needs no memory")


def mixed(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("ij,bjfhw->bifhw", matrix.to(x.dtype), x)


def wide(sigma: Tensor) -> Tensor:
    return sigma.view(-1, 1, 1, 1, 1)


def gaussian(mean: Tensor | float, std: float = 1.0) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The velocity of a perfect denoiser of N(mean, std²): v = (x - E[x_0 | x_σ]) / σ."""

    def velocity(x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
        s = wide(sigma)
        guess = (mean * s**2 + (1 - s) * std**2 * x) / ((1 - s) ** 2 * std**2 + s**2)
        return (x - guess) / s

    return velocity


def sources(batch: int, seed: int = 0) -> tuple[Draws, ...]:
    return tuple(Draws(seed)("video", i) for i in range(batch))


def step(net: Backbone, *, shape: tuple[int, ...] = (2, 6, 2, 4, 4), seed: int = 0, exit: int = 3, **changes: Any) -> Step:
    """One update's worth of material for `net`, without a world: captions are noise, true latents N(0, 1) unless said."""
    names = sources(shape[0], seed)
    noise = torch.stack([torch.from_numpy(d("noise").normal(shape[1:])) for d in names])
    cond = torch.from_numpy(Draws(seed)("cond").normal((shape[0], 3, 5)))
    given: dict[str, Any] = {
        "index": 0,
        "student": net,
        "teacher": None,
        "ema": net,
        "cond": cond,
        "null": torch.zeros_like(cond),
        "grid": GRID8,
        "update": "ode",
        "exits": (exit,),
        "noise": noise,
        "renoise": Renoise(names),
        "draws": Draws(seed)("student", 0),
        "data": lambda: torch.from_numpy(Draws(seed)("data").normal(shape)),
        "grad": True,
    }
    return Step(**(given | changes))


def value(loss: Tensor | None) -> float:
    assert loss is not None
    return float(loss.detach())


def gradient(loss: Tensor, net: nn.Module) -> Tensor:
    (found,) = torch.autograd.grad(loss, list(net.parameters()))
    return found
