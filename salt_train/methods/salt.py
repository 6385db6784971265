"""What Salt adds to an autoregressive recipe."""

from __future__ import annotations

from dataclasses import replace

from salt_train import setups
from salt_train.objectives.base import Objective
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.gate import Gate
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Recipe

ODDS = ((8, 0.4), (4, 0.4), (2, 0.2))


def mixed_steps(
    odds: tuple[tuple[int, float], ...] = ODDS, setup: str = "shapes"
) -> tuple[tuple[tuple[float, ...], float], ...]:
    """Grids with their probabilities."""
    return tuple((setups.setup(setup).grid(points), share) for points, share in odds)


def aligned(
    weight: float = 0.1,
    kind: str = "relation",
    points: tuple[int, ...] = (2, 4),
    method: str = "causal_forcing",
    setup: str = "shapes",
) -> Gate:
    """λ_align·L_align·1[K ∈ `points`], each against the next denser grid, from where `method` begins with it."""
    on = setups.setup(setup)
    denser = tuple((on.grid(k), on.grid(2 * k)) for k in points)
    return Gate(CacheAlignment(denser, weight, kind, tap=on.tap, shift=on.shift), points, on.aligned_from[method])


def salted(
    base: Recipe,
    mixed: bool = True,
    consistency: float = 0.2,
    alignment: float = 0.1,
    method: str = "causal_forcing",
    setup: str = "shapes",
) -> Recipe:
    """L_DMD + λ_SC·L_SC·1[K = 8] + λ_align·L_align·1[K ∈ {2, 4}] on rollouts of K ∈ {8, 4, 2} steps (Salt, "Total,
    autoregressive"). Without `mixed` steps all rollouts have 8 where there is self-consistency, else the base's own."""
    on, terms = setups.setup(setup), list[Objective](base.objectives)
    if consistency:
        terms.append(Gate(SelfConsistency(consistency), points=(8,)))
    if alignment:
        terms.append(aligned(alignment, method=method, setup=setup))
    grid = on.grid(8) if consistency and not mixed else base.grid
    steps = on.stages["salt"].steps
    return replace(base, objectives=tuple(terms), grid=grid, mixed=mixed_steps(setup=setup) if mixed else (), steps=steps)
