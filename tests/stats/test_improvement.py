"""The probability of improvement against pairs that can be counted, and its interval against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from layouts import X, table
from scipy import special

from salt_bench.stats.improvement import improvement, probability, wins
from salt_bench.stats.table import Table


@pytest.mark.parametrize("better", [1, -1])
def test_wins_follow_the_direction_and_ties_count_half(better: int) -> None:
    x, y = np.array([[3.0, 1.0, 2.0, np.nan]]), np.array([[1.0, 3.0, 2.0, 2.0]])
    expected = [[1.0, 0.0, 0.5, np.nan]] if better > 0 else [[0.0, 1.0, 0.5, np.nan]]
    assert np.array_equal(wins(x, y, better), expected, equal_nan=True)


def test_pairs_are_counted_not_weighed() -> None:
    base = np.zeros((2, 10))
    arm = np.where(np.arange(10) < 7, 0.01, -9.0) + base
    both = Table(table(arm=arm, base=base))
    up, down = (probability(both, X, "arm", "base", better) for better in (1, -1))
    assert up.mean == pytest.approx(0.7)
    assert (down.mean, down.low, down.high) == pytest.approx((1 - up.mean, 1 - up.high, 1 - up.low))
    assert 0 < up.low < 0.7 < up.high < 1


def test_equal_arms_are_a_half_and_a_sweep_is_no_certainty() -> None:
    same = np.random.default_rng(0).normal(size=(3, 40))
    equal = probability(Table(table(arm=same, base=same)), X, "arm", "base", 1)
    assert equal.mean == 0.5
    assert 0.3 < equal.low < 0.5 < equal.high < 0.7
    swept = probability(Table(table(arm=same + 1, base=same)), X, "arm", "base", 1)
    assert (swept.mean, swept.high) == (1.0, 1.0)
    assert 0.5 < swept.low < 0.97


def test_without_direction_nothing_improves() -> None:
    both = Table(table(arm=np.zeros((2, 3)), base=np.zeros((2, 3))))
    with pytest.raises(ValueError, match="nothing is an improvement"):
        probability(both, replace(X), "arm", "base", 0)


@pytest.mark.parametrize(("seeds", "prompts"), [(1, 64), (3, 64), (5, 16)])
@pytest.mark.parametrize("shift", [0.0, 0.6, 2.0])
def test_the_interval_covers(seeds: int, prompts: int, shift: float) -> None:
    rng, shape, variance = np.random.default_rng([seeds, prompts]), (1500, seeds, prompts), 0.5 if seeds > 1 else 0.0
    d = shift + np.sqrt(variance) * rng.normal(size=(1500, seeds, 1)) + 0.5 * rng.normal(size=(1500, 1, prompts))
    found = improvement(wins(d + rng.normal(size=shape), np.zeros(shape), 1))
    truth = special.ndtr(shift / np.sqrt(1.25 + variance))
    covered = ((found.low <= truth) & (truth <= found.high)).mean()
    assert 0.93 <= covered <= 0.999
    assert found.mean.mean() == pytest.approx(truth, abs=0.02)
