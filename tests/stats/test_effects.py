"""Pairing, differences, ratios and means, against numbers that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from layouts import ACCURACY, FRECHET, T2, T3, X, layout, rows, table
from scipy import stats as reference

from salt_bench.stats.crossed import completed, crossed
from salt_bench.stats.effects import compare, detectable, effect, log_ratio, summary
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Effect


def test_an_effect_is_arm_minus_baseline() -> None:
    both = table(arm=layout(1, 1, 1) + 7, base=layout(0, 0, 0) + 2)
    forth, back = (effect(both, X, *names) for names in (("arm", "base"), ("base", "arm")))
    assert forth.mean == pytest.approx(5)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.low < 5 < forth.high
    assert (forth.train_seeds, forth.prompts) == (3, 4)
    assert forth.degrees == pytest.approx(30 / 7)
    assert forth.p == pytest.approx(2 * reference.t.sf(5 / math.sqrt(5 / 3), 30 / 7))


def test_p_is_below_5_percent_just_where_the_interval_excludes_zero() -> None:
    d = layout(3, 1, 1)
    half = T2 * math.sqrt(3)
    for shift, excludes in ((half - 0.01, False), (half + 0.01, True)):
        e = effect(table(arm=d + shift, base=0 * d), X, "arm", "base")
        assert (e.low > 0) is excludes
        assert (e.p < 0.05) is excludes


def test_pairing_removes_what_the_arms_share() -> None:
    shared = 100 * np.random.default_rng(1).normal(size=(3, 4))
    e = effect(table(arm=shared + layout(1, 1, 1), base=shared), X, "arm", "base")
    assert e.standard_error == pytest.approx(math.sqrt(5 / 3))


def test_equal_arms_differ_by_exactly_nothing() -> None:
    same = np.random.default_rng(2).normal(size=(3, 4))
    e = effect(table(arm=same, base=same), X, "arm", "base")
    assert (e.mean, e.low, e.high, e.p, e.detectable) == (0, 0, 0, 1, 0)
    shifted = effect(table(arm=np.ones((3, 4)), base=np.zeros((3, 4))), X, "arm", "base")
    assert (shifted.mean, shifted.low, shifted.high, shifted.p) == (1, 1, 1, 0)


def test_the_order_of_the_rows_does_not_matter() -> None:
    both = table(arm=np.random.default_rng(3).normal(size=(3, 5, 2)), base=np.random.default_rng(4).normal(size=(3, 5, 2)))
    shuffled = both.sample(frac=1, random_state=0)
    assert effect(both, X, "arm", "base") == effect(shuffled, X, "arm", "base")


def test_sample_seeds_are_averaged_inside_a_pair_and_unjudged_ones_dropped_with_their_partner() -> None:
    arm, base = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    arm[0, 0] = [np.nan, 6]
    base[0, 0] = [1000, 3]
    arm[1, 1] = [2, 4]
    e = effect(table(arm=arm, base=base), X, "arm", "base")
    assert e.mean == pytest.approx((3 + 3) / 6)


def test_prompts_can_be_chosen() -> None:
    both = table(arm=[[1, 5, 9], [2, 5, 9]], base=np.zeros((2, 3)))
    e = effect(both, replace(X, prompts={"p0", "p1", "elsewhere"}), "arm", "base")
    assert (e.mean, e.prompts) == (pytest.approx(13 / 4), 2)
    with pytest.raises(ValueError, match="nothing to pair"):
        effect(both, replace(X, prompts=["elsewhere"]), "arm", "base")


def test_a_missing_pair_is_filled_from_its_seed_and_prompt() -> None:
    d = layout(2, 5, 0) + 1
    d[0, 3] = np.nan
    filled, lost = completed(d)
    assert filled == pytest.approx(layout(2, 5, 0) + 1)
    assert lost == 1
    e = effect(table(arm=d, base=np.zeros((3, 4))), X, "arm", "base")
    assert e.mean == pytest.approx(1)  # the mean of the pairs that are there is −1/11
    assert (e.train_seeds, e.prompts) == (3, 4)


def test_prompts_and_seeds_without_any_pair_are_not_counted() -> None:
    d = layout(1, 1, 1)
    d[2], d[:, 3] = np.nan, np.nan
    e = effect(table(arm=d, base=np.zeros((3, 4))), X, "arm", "base")
    assert (e.train_seeds, e.prompts) == (2, 3)
    assert e.mean == pytest.approx(d[:2, :3].mean())


def test_one_training_seed_says_so() -> None:
    e = effect(table(arm=[[3, 5, 4, 8]], base=[[1, 1, 1, 1]]), X, "arm", "base")
    assert (e.train_seeds, e.prompts, e.mean, e.degrees) == (1, 4, 4, 3)
    assert e.high - e.mean == pytest.approx(T3 * np.std([2, 4, 3, 7], ddof=1) / 2)


def test_one_pair_says_nothing() -> None:
    e = effect(table(arm=[[3]], base=[[1]]), X, "arm", "base")
    assert (e.mean, e.low, e.high, e.p, e.detectable) == (2, -math.inf, math.inf, 1, math.inf)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_anchor_meets_every_training_seed_at_its_own_setting(sign: int) -> None:
    arm, truth = layout(1, 1, 1) + 2, np.array([[1.0, 2, 3, 4]])
    both = pd.concat([rows("arm", arm), rows("arm", arm, setting="8"), rows("truth", truth, setting="own")])
    names = ("arm", "truth") if sign > 0 else ("truth", "arm")
    e = effect(both, Quantity("8", "j", "x"), *names)
    assert e.mean == pytest.approx(sign * (2 - 2.5))
    assert (e.train_seeds, e.prompts) == (3, 4)
    assert summary(both, Quantity("8", "j", "x"), "truth")[0] == pytest.approx(2.5)


def test_prompts_cut_out_once_stay_apart_from_others() -> None:
    values = np.arange(12.0).reshape(2, 6)
    indexed = Table(table(arm=values, base=np.zeros((2, 6))))
    for chosen in ({"p0", "p1"}, {"p4"}, {"p0", "p1"}):
        frozen, plain = (indexed.cube("arm", replace(X, prompts=kind(chosen))).values for kind in (frozenset, list))
        np.testing.assert_array_equal(frozen, plain)
        assert frozen.shape == (2, len(chosen), 1)


def test_an_arm_that_is_not_an_anchor_is_paired_by_seed_only() -> None:
    both = table(arm=[[1, 1], [2, 2], [9, 9]], base=[[0, 0], [0, 0]])
    e = effect(both, X, "arm", "base")
    assert (e.train_seeds, e.mean) == (2, 1.5)


def test_set_judges_pair_by_seed() -> None:
    both = table(arm=[1.0, 2, 6], base=[0.0, 0, 0])
    e = effect(both, replace(X, prompts={"p0"}), "arm", "base")
    assert (e.mean, e.train_seeds, e.prompts, e.degrees) == (3, 3, 1, 2)
    assert e.high - e.mean == pytest.approx(T2 * np.std([1, 2, 6], ddof=1) / math.sqrt(3))


@pytest.mark.parametrize(
    ("arm", "what", "says"),
    [
        ("other", X, "no arm 'other'.*'arm', 'base'"),
        ("arm", Quantity("5", "j", "x"), "no setting '5'"),
        ("arm", Quantity("4", "j", "y"), "no part 'y'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(arm: str, what: Quantity, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        effect(table(arm=np.zeros((2, 2)), base=np.zeros((2, 2))), what, arm, "base")


def test_what_was_not_measured_or_not_judged_or_twice_is_refused() -> None:
    both = pd.concat([table(arm=np.full((2, 2), np.nan), base=np.zeros((2, 2))), rows("base", np.zeros((2, 2)), part="y")])
    with pytest.raises(ValueError, match="nothing to pair"):
        effect(both, X, "arm", "base")
    with pytest.raises(ValueError, match="'y' was not measured on arm 'arm'"):
        effect(both, Quantity("4", "j", "y"), "arm", "base")
    with pytest.raises(ValueError, match="two values"):
        effect(pd.concat([both, both]), X, "base", "base")
    with pytest.raises(ValueError, match="lacks value"):
        Table(both.drop(columns="value"))
    assert Table(both).has("base", Quantity("4", "j", "y"))
    assert not Table(both).has("arm", Quantity("4", "j", "y"))


def test_the_log_ratio_of_a_set_judge_is_seedwise() -> None:
    both = table(arm=[2.0, 3, 8], base=[1.0, 1, 2])
    logs = np.log([2, 3, 4])
    e = log_ratio(both, X, "arm", "base")
    assert e.mean == pytest.approx(logs.mean())
    assert e.high - e.mean == pytest.approx(T2 * logs.std(ddof=1) / math.sqrt(3))
    assert log_ratio(both, X, "base", "arm").mean == pytest.approx(-logs.mean())


def test_the_log_ratio_over_prompts_is_that_of_the_means() -> None:
    base = np.array([[1.0, 2, 4], [2, 2, 1]])
    exact = log_ratio(table(arm=1.2 * base, base=base), X, "arm", "base")
    assert exact.mean == pytest.approx(math.log(1.2))
    assert exact.high - exact.low == pytest.approx(0, abs=1e-12)
    arm = base + np.array([[0.1, 0, 0], [0, 0, 0.2]])
    e = log_ratio(table(arm=arm, base=base), X, "arm", "base")
    assert e.mean == pytest.approx(math.log(2.05 / 2))
    assert e.standard_error == pytest.approx(crossed(arm / 2.05 - base / 2).standard_error)


def test_a_small_log_ratio_has_the_width_of_the_difference() -> None:
    """Around a constant baseline, the delta method says log(1 + d) ≈ d."""
    d = 1e-3 * layout(1, 1, 1)
    both = table(arm=1 + d, base=np.ones((3, 4)))
    e, difference = (f(both, X, "arm", "base") for f in (log_ratio, effect))
    assert (e.standard_error, e.degrees) == pytest.approx((difference.standard_error, difference.degrees), rel=1e-6)


def test_ratios_need_positive_means() -> None:
    with pytest.raises(ValueError, match="use the difference"):
        log_ratio(table(arm=[[1.0, 2]], base=[[-1.0, 1]]), X, "arm", "base")
    with pytest.raises(ValueError, match="use the difference"):
        log_ratio(table(arm=[1.0, 2], base=[0.0, 1]), X, "arm", "base")


def test_a_summary_is_the_mean_under_the_same_model() -> None:
    values = layout(1, 1, 1) + 7
    own = summary(table(arm=values), X, "arm")
    half = crossed(values).half()
    assert own == pytest.approx((7, 7 - half, 7 + half, 3, 4))


@pytest.mark.parametrize("degrees", [1, 2.5, 4, 30, 1e5])
def test_detectable_is_found_with_80_percent_power(degrees: float) -> None:
    smallest = detectable(2.0, degrees)
    power = reference.nct.sf(reference.t.ppf(0.975, degrees), degrees, smallest / 2.0)
    assert power == pytest.approx(0.8, abs=1e-5)
    if degrees == 1e5:
        assert smallest / 2 == pytest.approx(1.95996 + 0.84162, abs=1e-3)


def test_compare_takes_the_scale_of_the_margin() -> None:
    both = table(arm=[2.0, 2.2], base=[1.0, 1.0])
    assert compare(both, X, "arm", "base", FRECHET) == log_ratio(both, X, "arm", "base")
    assert type(compare(both, X, "arm", "base", ACCURACY)) is Effect
