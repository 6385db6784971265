"""The mean of a crossed layout and its interval, against numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from layouts import T2, T4, layout
from scipy import stats as reference

from salt_bench.stats.crossed import completed, crossed


def test_mean_squares_and_satterthwaite_by_hand() -> None:
    fit = crossed(layout(1, 1, 1) + 7)
    assert fit.mean == pytest.approx(7)
    assert fit.standard_error**2 == pytest.approx(4 / 12 + (20 - 4) / 12)
    assert fit.degrees == pytest.approx((20 / 12) ** 2 / ((4 / 12) ** 2 / 2 + (16 / 12) ** 2 / 3))  # 30/7


def test_never_narrower_than_t_on_the_seed_means() -> None:
    d = layout(3, 1, 1)
    fit = crossed(d)
    plain = (13 / 3) ** 2 / (3**2 / 2 + (4 / 3) ** 2 / 3)
    assert fit.standard_error**2 == pytest.approx(13 / 3)
    assert fit.degrees < plain
    assert fit.half() == pytest.approx(T2 * math.sqrt(3))
    assert fit.half() == pytest.approx(T2 * d.mean(1).std(ddof=1) / math.sqrt(3))


def test_a_negative_prompt_component_counts_as_none() -> None:
    fit = crossed(layout(1, 0, 1))
    assert fit.standard_error**2 == pytest.approx(4 / 12)
    assert fit.degrees == pytest.approx(2)


def test_one_seed_is_t_on_the_prompts_and_one_prompt_t_on_the_seeds() -> None:
    values = np.array([1.0, 2, 4, 9, 14])
    for d in (values[None, :], values[:, None]):
        fit = crossed(d)
        assert fit.mean == pytest.approx(6)
        assert fit.half() == pytest.approx(T4 * values.std(ddof=1) / math.sqrt(5))
        assert fit.degrees == pytest.approx(4)


def test_repetitions_are_fitted_one_by_one() -> None:
    d = np.random.default_rng(0).normal(size=(6, 3, 5))
    together = crossed(d)
    for i, single in enumerate(d):
        assert np.allclose([x[i] for x in together], crossed(single))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("variance", [0.0, 1.0])
def test_a_95_percent_interval_covers(seeds: int, variance: float) -> None:
    rng = np.random.default_rng([seeds, int(variance)])
    shape = (1500, seeds, 24)
    d = math.sqrt(variance) * rng.normal(size=(*shape[:2], 1)) + rng.normal(size=(shape[0], 1, 24)) + rng.normal(size=shape)
    fit = crossed(d)
    covered = (np.abs(fit.mean) <= fit.half()).mean()
    prompts = d.mean(1)
    naive = np.abs(prompts.mean(1)) <= reference.t.ppf(0.975, 23) * prompts.std(1, ddof=1) / math.sqrt(24)
    assert 0.93 <= covered <= 0.98
    assert variance == 0 or naive.mean() < 0.85


def test_the_fill_is_least_squares() -> None:
    d = np.random.default_rng(5).normal(size=(4, 7))
    d[[0, 2, 2, 3], [1, 1, 5, 0]] = np.nan
    seen = ~np.isnan(d)
    design = np.hstack([np.eye(4)[np.nonzero(seen)[0]], np.eye(7)[np.nonzero(seen)[1]]])
    effects = np.linalg.lstsq(design, d[seen], rcond=None)[0]
    filled, lost = completed(d)
    assert filled[~seen] == pytest.approx((effects[:4, None] + effects[4:])[~seen])
    assert lost == 4
