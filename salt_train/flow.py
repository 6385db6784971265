"""Rectified flow: the few formulas that everything else is made of.

x_σ = (1-σ)·x_0 + σ·ε, velocity v = ε - x_0, σ in [0, 1] with 1 = noise (Wan 2.1; Salt, arXiv 2604.03118, "Notation").
All functions are pure; σ is a float, a tensor (B,) or, one level per frame, a tensor (B, F) that is broadcast over the latent
(B, C, F, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Sigma = float | Tensor
RULES = ("released", "nearest", "uniform")


def wide(sigma: Sigma, like: Tensor) -> Tensor | float:
    """σ ready to be multiplied with a latent: (B,) becomes (B, 1, 1, 1, 1), (B, F) becomes (B, 1, F, 1, 1), in its dtype."""
    if isinstance(sigma, Tensor) and sigma.ndim == 2:
        return sigma.to(like.dtype)[:, None, :, None, None]
    if isinstance(sigma, Tensor):
        return sigma.to(like.dtype).view(-1, *[1] * (like.ndim - 1))
    return sigma


def noised(x0: Tensor, noise: Tensor, sigma: Sigma) -> Tensor:
    """x_σ = (1-σ)·x_0 + σ·ε. Exactly x_0 at σ = 0."""
    s = wide(sigma, x0)
    return (1 - s) * x0 + s * noise


def clean(x: Tensor, velocity: Tensor, sigma: Sigma) -> Tensor:
    """x̂_0 = x_σ - σ·v."""
    return x - wide(sigma, x) * velocity


def move(x: Tensor, velocity: Tensor, start: Sigma, end: Sigma) -> Tensor:
    """Ψ^{s→e}(x) = x - (σ_s - σ_e)·v: one Euler step (Salt, "The update operator Ψ")."""
    return x - wide(start - end, x) * velocity


def shifted(u: Sigma, shift: float) -> Sigma:
    """σ' = α·σ / (1 + (α-1)·σ), the timestep shift α of Wan 2.1."""
    return shift * u / (1 + (shift - 1) * u)


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance u + w·(c - u): w = 1 is the conditional prediction. The released DMD code writes the same as
    c + g·(c - u) with g = w - 1, so its g = 3 is w = 4."""
    return unconditional + scale * (conditional - unconditional)


def grid(raw: Sequence[float], shift: float) -> tuple[float, ...]:
    """Raw timesteps (1000 … above 0) as noise levels after the shift; the final 0 is implied."""
    if not raw or raw[0] != 1000 or any(a <= b for a, b in pairwise(raw)) or raw[-1] <= 0:
        raise ValueError(f"a grid falls from 1000 and stays above 0 (the final 0 is implied), got {tuple(raw)}")
    return tuple(float(shifted(t / 1000, shift)) for t in raw)


def even(steps: int, shift: float) -> tuple[float, ...]:
    """`steps` evenly spaced raw timesteps 1000, …, 1000/steps after the shift: 2, 4, 8 and 16 are nested (Salt, "Grids")."""
    return grid([1000 * (steps - i) / steps for i in range(steps)], shift)


def check_grid(*grids: tuple[float, ...]) -> None:
    """Raises ValueError where one is no grid: noise levels that fall from 1; the final 0 is implied."""
    for levels in grids:
        if levels[:1] != (1.0,) or not all(a > b for a, b in pairwise((*levels, 0.0))):
            raise ValueError(f"a grid falls from 1 and stays above 0 (the final 0 is implied), got {levels}")


def check_clamp(clamp: tuple[float, float]) -> None:
    """Raises ValueError where these are no two noise levels in ascending order."""
    low, high = clamp
    if not 0 <= low < high <= 1:
        raise ValueError(f"a clamp is two noise levels, 0 ≤ low < high ≤ 1, got {clamp}")


@dataclass(frozen=True)
class Triplet:
    """Noise levels of start, middle and end, σ_s > σ_m > σ_e ≥ 0."""

    start: float
    middle: float
    end: float

    def __post_init__(self) -> None:
        if not 1 >= self.start > self.middle > self.end >= 0:
            raise ValueError(f"a triplet falls, 1 ≥ start > middle > end ≥ 0, got {self.start}, {self.middle}, {self.end}")


def triplets(fine: Sequence[float], start: int, rule: str = "released") -> list[Triplet]:
    """The triplets that begin at `fine[start]`, equally likely ends first, then equally likely middles (see `draw_triplet`).

    - "released": ends are the two largest points of every second grid point and 0 that lie strictly below the successor of
      the start; the middle is any grid point between (Salt, "SC-DMD").
    - "nearest": the end is the second next grid point, the middle the next one.
    - "uniform": any end at least two points on, any middle between.
    """
    levels = [*fine, 0.0]
    return [Triplet(levels[start], levels[m], levels[e]) for e in _ends(len(fine), start, rule) for m in range(start + 1, e)]


def draw_triplet(fine: Sequence[float], start: int, rule: str, u_end: float, u_middle: float) -> Triplet | None:
    """One of `triplets`: uniform over the ends, then over the middles, from two numbers in [0, 1); None where there is none."""
    levels = [*fine, 0.0]
    ends = _ends(len(fine), start, rule)
    if not ends:
        return None
    end = ends[int(u_end * len(ends))]
    middle = start + 1 + int(u_middle * (end - start - 1))
    return Triplet(levels[start], levels[middle], levels[end])


def _ends(size: int, start: int, rule: str) -> list[int]:
    """Indices into the grid and its final 0 (index `size`)."""
    later = range(start + 2, size + 1)
    if rule == "released":
        return [e for e in later if e % 2 == 0 or e == size][:2]
    if rule == "nearest":
        return list(later[:1])
    if rule == "uniform":
        return list(later)
    raise ValueError(f"a triplet rule is one of {', '.join(RULES)}, got {rule!r}")


def bell(sigma: Tensor, shift: float, points: int = 1000) -> Tensor:
    """The weight of a noise level in Wan's own training, a bell around t = 500 with mean 1 over the shifted grid of `points`
    ("bsmntw": y = exp(-2((t - 500)/1000)²), w = (y - min y)·N/Σ(y - min y))."""

    def y(s: Tensor) -> Tensor:
        return torch.exp(-2 * (s.double() - 0.5) ** 2)

    at = y(torch.as_tensor(shifted(1 - torch.arange(points, dtype=torch.float64) / points, shift)))
    return ((y(sigma) - at.min()) / (at - at.min()).mean()).clamp(min=0).to(sigma.dtype)


def per_frame(levels: Tensor, sizes: Sequence[int]) -> Tensor:
    """One value per chunk (B, chunks) as one per frame (B, F)."""
    return levels.repeat_interleave(torch.tensor(sizes, device=levels.device), 1, output_size=sum(sizes))


def stratified(n: int, offsets: Tensor) -> Tensor:
    """n numbers in [0, 1), one in each n-th: offsets (n,) in [0, 1)."""
    return (torch.arange(n, dtype=offsets.dtype, device=offsets.device) + offsets) / n
