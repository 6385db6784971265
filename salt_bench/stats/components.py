"""Where a number's variance comes from: training seeds, prompts, sample seeds, and what they have in common.

The model of a cube of values or differences y[s, p, k], of training seed s, prompt p and sample seed k, is

    y = mean + seed[s] + prompt[p] + seed×prompt[s, p] + sample[p, k] + noise[s, p, k].

A sample seed is nested in its prompt, since every pair of them is a noise of its own, and crossed with the training seeds,
since all of them start from that noise. The components are those of an analysis of variance (Searle, Casella and McCulloch,
Variance Components, 1992): unbiased, so that a small one may come out below 0, and averages over many arms stay unbiased.
Where training seeds stand on several teacher seeds, they are nested in them, and a teacher has a component too.

What a design cannot tell apart is said together: with one sample seed `prompt` holds `sample`, and `seed_prompt` holds `noise`;
with one training seed `prompt` holds `seed_prompt`, and `seed` is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from salt_bench.stats.effects import cubes
from salt_bench.stats.table import Quantity, Table

MISSING = float("nan")


@dataclass(frozen=True)
class Components:
    """Variances in the squared unit of the judge; NaN where the design does not tell. Below 0 counts as 0 in a `Design`."""

    seed: float = MISSING
    prompt: float = MISSING
    seed_prompt: float = MISSING
    sample: float = MISSING
    noise: float = MISSING
    teacher: float = MISSING

    def known(self) -> dict[str, float]:
        """Name → variance, of those that the design tells, none below 0."""
        return {f.name: max(v, 0.0) for f, v in zip(fields(self), astuple(self), strict=True) if not np.isnan(v)}

    def shares(self) -> dict[str, float]:
        """Name → its share of the variance of a single value."""
        known = self.known()
        whole = sum(known.values())
        return {name: value / whole if whole else 0.0 for name, value in known.items()}


def components(values: np.ndarray) -> Components:
    """Of a complete cube (S, P, K), or (T, S, P, K) where S training seeds stand on each of T teacher seeds.

    ValueError for another shape, for a missing value and for a single one."""
    cube = np.asarray(values, dtype=float)
    if cube.ndim not in (3, 4) or np.isnan(cube).any() or cube.size < 2:
        raise ValueError(f"components come from a complete cube (S, P, K) or (T, S, P, K), got {cube.shape}")
    return _of_teachers(cube) if cube.ndim == 4 else _of_seeds(cube)


def _of_seeds(cube: np.ndarray) -> Components:
    s, p, k = cube.shape
    cells, seeds, prompts = cube.mean(2), cube.mean((1, 2)), cube.mean((0, 2))
    own = cube - cells[..., None]  # what a sample seed adds, training seed by training seed
    sample_square = _square(s * own.mean(0) ** 2, p * (k - 1))
    noise = _square((own - own.mean(0)) ** 2, (s - 1) * p * (k - 1))
    rest = cells - seeds[:, None] - prompts + cube.mean()
    both_square = _square(k * rest**2, (s - 1) * (p - 1))
    seed_square = _square(p * k * (seeds - cube.mean()) ** 2, s - 1)
    prompt_square = _square(s * k * (prompts - cube.mean()) ** 2, p - 1)
    both = both_square if k == 1 else (both_square - noise) / k
    sample = (sample_square - noise) / s if s > 1 else sample_square
    # Expected: MS_prompt = noise + k·both + s·sample + s·k·prompt, of which a part is not told where s or k is 1.
    below = (0.0 if s == 1 else both_square) + (0.0 if k == 1 else s * sample)
    return Components(
        seed=(seed_square - (both_square if p > 1 else 0.0)) / (p * k) if s > 1 else MISSING,
        prompt=(prompt_square - below) / (s * k),
        seed_prompt=both,
        sample=sample,
        noise=noise,
    )


def _square(parts: np.ndarray, degrees: int) -> float:
    """A mean square; NaN where nothing is left to see it by."""
    return float(parts.sum() / degrees) if degrees > 0 else MISSING


def _of_teachers(cube: np.ndarray) -> Components:
    """Prompts meet teachers as they meet seeds: a teacher's mean varies by its own effect, its seeds' and its cells'."""
    teachers, s = cube.shape[:2]
    within = [_of_seeds(one) for one in cube]
    mean = Components(*np.mean([astuple(one) for one in within], axis=0))
    if teachers == 1:
        return mean
    between = _of_seeds(cube.mean(1))  # (T, P, K): a "seed" is a teacher with its s training seeds
    seed = 0.0 if s == 1 else mean.seed
    return Components(mean.seed, between.prompt, mean.seed_prompt, mean.sample, mean.noise, between.seed - seed / s)


def of_effect(table: Table, what: Quantity, arm: str, baseline: str) -> Components:
    """Of the paired differences of two arms, or of one arm's own values where both are the same.

    A prompt that lacks any of its values is left out. ValueError where fewer than two values are left."""
    x, y = cubes(table, what, arm, baseline)
    d = x if arm == baseline else x - y
    return components(d[:, ~np.isnan(d).any((0, 2))])


def pooled(found: Sequence[Components]) -> Components:
    """The mean of every component over several pairs of arms."""
    if not found:
        raise ValueError("no pair of arms was measured: there is nothing to pool")
    return Components(*np.mean([astuple(one) for one in found], axis=0))
