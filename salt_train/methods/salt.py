"""What Salt adds to an autoregressive recipe."""

from __future__ import annotations

from dataclasses import replace

from salt_train.flow import even
from salt_train.methods.shapes import SHIFT
from salt_train.objectives.base import Objective
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.gate import Gate
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Recipe

ODDS = ((8, 0.4), (4, 0.4), (2, 0.2))
TAP = 2
"""The teacher's block whose tokens are aligned: the third of 4, as the 21st of Wan's 30."""
START = 20
"""The update from which alignment speaks: a third of the run (700 of 2000 in the released recipe)."""


def mixed_steps(odds: tuple[tuple[int, float], ...] = ODDS) -> tuple[tuple[tuple[float, ...], float], ...]:
    """Grids with their probabilities."""
    return tuple((even(points, SHIFT), share) for points, share in odds)


def salted(base: Recipe, mixed: bool = True, consistency: float = 0.2, alignment: float = 0.1) -> Recipe:
    """L_DMD + λ_SC·L_SC·1[K = 8] + λ_align·L_align·1[K ∈ {2, 4}] on rollouts of K ∈ {8, 4, 2} steps (Salt, "Total,
    autoregressive"). Without `mixed` steps all rollouts have 8 where there is self-consistency, else the base's own."""
    denser = tuple((even(k, SHIFT), even(2 * k, SHIFT)) for k in (2, 4))
    terms: list[Objective] = list(base.objectives)
    if consistency:
        terms.append(Gate(SelfConsistency(consistency), points=(8,)))
    if alignment:
        terms.append(Gate(CacheAlignment(denser, alignment, tap=TAP, shift=SHIFT), points=(2, 4), start=START))
    grid = even(8, SHIFT) if consistency and not mixed else base.grid
    return replace(base, objectives=tuple(terms), grid=grid, mixed=mixed_steps() if mixed else ())
