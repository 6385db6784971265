"""Variance components against what was put into simulated cubes."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from layouts import X, rows, table

from salt_bench.stats.components import Components, components, of_effect, pooled
from salt_bench.stats.table import Table

TRUE = Components(seed=0.5, prompt=2.0, seed_prompt=1.0, sample=0.7, noise=0.3)


def cube(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """(S, P, K) with the variances of TRUE."""
    s, p, k = shape
    sizes = {"seed": (s, 1, 1), "prompt": (1, p, 1), "seed_prompt": (s, p, 1), "sample": (1, p, k), "noise": (s, p, k)}
    return sum(np.sqrt(TRUE.known()[name]) * rng.normal(size=size) for name, size in sizes.items())


def mean_of(shape: tuple[int, int, int], repetitions: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the estimated components, and three of its standard errors."""
    rng = np.random.default_rng(shape)
    found = np.array([astuple(components(cube(rng, shape))) for _ in range(repetitions)])
    return found.mean(0), 3 * found.std(0, ddof=1) / np.sqrt(repetitions)


@pytest.mark.parametrize("shape", [(3, 40, 2), (5, 12, 3)])
def test_every_component_is_found_without_bias(shape: tuple[int, int, int]) -> None:
    mean, bound = mean_of(shape)
    assert np.all(bound[:5] < (0.12, 0.2, 0.05, 0.04, 0.02)), "the bounds mean something"
    assert np.all(np.abs(mean - astuple(TRUE))[:5] < bound[:5])


def test_one_sample_seed_adds_what_it_cannot_tell_apart() -> None:
    mean, bound = mean_of((4, 40, 1))
    expected = (0.5, 2.0 + 0.7, 1.0 + 0.3)
    assert np.all(np.abs(mean[:3] - expected) < bound[:3])
    assert np.isnan(mean[3:5]).all()


def test_one_training_seed_tells_nothing_of_seeds() -> None:
    mean, bound = mean_of((1, 60, 2))
    assert np.isnan(mean[[0, 2, 4]]).all()
    expected = np.array([2.0 + 1.0, 0.7 + 0.3])
    assert np.all(np.abs(mean[[1, 3]] - expected) < bound[[1, 3]])


def test_a_set_judge_has_seeds_alone() -> None:
    found = components(np.array([1.0, 3.0, 5.0])[:, None, None])
    assert found.known() == {"seed": 4.0}
    assert found.shares() == {"seed": 1.0}


def test_by_hand() -> None:
    """Rows 0 and 2, columns −1 and 1, nothing else: MS_seed = 2·2, MS_prompt = 2·2, no rest."""
    y = np.array([[0.0, 2.0], [2.0, 4.0]])[:, :, None]
    assert components(y).known() == pytest.approx({"seed": 2.0, "prompt": 2.0, "seed_prompt": 0.0})


def test_teachers_are_told_from_the_seeds_that_stand_on_them() -> None:
    rng, shape = np.random.default_rng(3), (3, 20, 1)
    found = []
    for _ in range(400):
        prompt = rng.normal(size=(1, 1, 20, 1))
        seed = np.sqrt(0.5) * rng.normal(size=(4, 3, 1, 1))
        teacher = np.sqrt(1.5) * rng.normal(size=(4, 1, 1, 1))
        found.append(astuple(components(prompt + seed + teacher + rng.normal(size=(4, *shape)))))
    mean, bound = np.mean(found, 0), 3 * np.std(found, 0, ddof=1) / 20
    assert np.all(np.abs(mean - (0.5, 1.0, 1.0, 0, 0, 1.5))[[0, 1, 2, 5]] < bound[[0, 1, 2, 5]])
    assert bound[5] < 0.25


def test_components_of_a_table_are_those_of_the_differences() -> None:
    rng = np.random.default_rng(4)
    base, d = rng.normal(size=(3, 8, 2)), rng.normal(size=(3, 8, 2))
    both = Table(table(arm=base + d, base=base))
    assert of_effect(both, X, "arm", "base").known() == pytest.approx(components(d).known())
    assert of_effect(both, X, "base", "base").known() == pytest.approx(components(base).known())
    gap = d.copy()
    gap[1, 3, 0] = np.nan
    holed = Table(pd.concat([rows("arm", base + gap), rows("base", base)]))
    assert of_effect(holed, X, "arm", "base").known() == pytest.approx(components(np.delete(d, 3, 1)).known())


def test_pooling_keeps_what_is_below_zero() -> None:
    """Or the mean of estimates around 0 would be above it."""
    found = pooled([Components(seed=-1.0, prompt=2.0), Components(seed=1.0, prompt=4.0)])
    assert (found.seed, found.prompt) == (0.0, 3.0)
    assert Components(seed=-1.0).known() == {"seed": 0.0}
    with pytest.raises(ValueError, match="nothing to pool"):
        pooled([])


@pytest.mark.parametrize("values", [np.zeros((2, 2)), np.array([[[np.nan, 1.0]]]), np.zeros((1, 1, 1))])
def test_other_shapes_and_gaps_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="complete cube"):
        components(values)
