"""How much evidence is enough at each look, so that looking often costs no error rate: group-sequential alpha spending.

Up to the share t of all prompts, level·t² may have been spent (Kim and DeMets, Biometrika 74, 1987). The nominal level of each
look follows from the joint law of the looks, a Brownian motion that is watched at their shares: its density over paths that
have not stopped yet is carried from look to look on a grid (Armitage, McPherson and Rowe, JRSS A 132, 1969). The levels are
held against p-values of t-tests, which is exact up to the difference between t and the normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import special

_POWER = 2.0
_POINTS, _REACH = 2001, 8.0  # of the grid, and how many standard deviations it reaches


def spent(level: float, share: float) -> float:
    """What may have been spent of `level` when a `share` of the prompts has been looked at."""
    return float(level * min(share, 1.0) ** _POWER)


def nominal_levels(level: float, shares: Sequence[float]) -> list[float]:
    """One-sided nominal level of each look, given at which `shares` of all prompts (rising, the last is 1) one looks.

    Together they reject a true hypothesis with probability `level`."""
    if not shares or shares[-1] != 1 or any(a >= b for a, b in pairwise((0.0, *shares))):
        raise ValueError(f"the shares of looks rise to 1, got {list(shares)}")
    grid = np.linspace(-_REACH, _REACH, _POINTS)
    step = grid[1] - grid[0]
    mass = _normal(grid, shares[0]) * step
    levels = []
    for share, after, to_spend in zip(shares, (*shares[1:], None), _increments(level, shares), strict=True):
        bound = _bound(grid, mass, to_spend)
        levels.append(float(special.ndtr(-bound / np.sqrt(share))))
        if after is not None:
            going_on = mass * np.clip((bound - grid) / step + 0.5, 0.0, 1.0)
            mass = np.convolve(going_on, _normal(grid, after - share) * step, mode="same")
    return levels


def _increments(level: float, shares: Sequence[float]) -> list[float]:
    return [spent(level, b) - spent(level, a) for a, b in pairwise((0.0, *shares))]


def _normal(x: np.ndarray, variance: float) -> np.ndarray:
    return np.exp(-(x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def _bound(grid: np.ndarray, mass: np.ndarray, to_spend: float) -> float:
    """Above which value of the Brownian motion `to_spend` of the mass lies."""
    step = grid[1] - grid[0]
    beyond = np.cumsum(mass[::-1])[::-1]  # of the cells from here up, each `step` wide around its point
    return float(np.interp(-to_spend, -beyond, grid - step / 2))
