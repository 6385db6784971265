"""Effects, intervals and claims against numbers that can be worked out by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference

from salt_bench import stats
from salt_bench.types import Claim, Effect, Output

ACCURACY = Output("share", +1, margin=0.05)
DEFECT = Output("ratio", -1, margin=0.05)
FRECHET = Output("distance", -1, margin=0.10, relative=True)
T2, T3, T4 = (reference.t.ppf(0.975, df) for df in (2, 3, 4))


def rows(
    arm: str, values: object, judge: str = "j", part: str = "x", setting: str = "4", prompts: Sequence[str] | None = None
) -> pd.DataFrame:
    """A table of one arm from values[train seed], of a set judge, or with [prompt] or [prompt][sample seed] behind it."""
    cube = np.asarray(values, dtype=float)
    if cube.ndim == 1:
        cube, prompts = cube[:, None], [""]
    cube = cube[:, :, None] if cube.ndim == 2 else cube
    names = prompts if prompts is not None else [f"p{i}" for i in range(cube.shape[1])]
    return pd.DataFrame(
        {
            "arm": arm, "setting": setting, "train_seed": s, "prompt": names[p], "sample_seed": k,
            "judge": judge, "part": part, "value": cube[s, p, k], "weight": 1.0, "note": "",
        }
        for s, p, k in np.ndindex(cube.shape)
    )  # fmt: skip


def table(**arms: object) -> pd.DataFrame:
    return pd.concat([rows(name, values) for name, values in arms.items()], ignore_index=True)


def found(mean: float, error: float = 1.0, degrees: float = 4.0, kind: type[Effect] = Effect, p: float = 0.5) -> Effect:
    half = reference.t.ppf(0.975, degrees) * error
    return kind("arm", "base", "4", "j", "x", mean, mean - half, mean + half, p, error, degrees, 5, 10, 0.0)


def layout(seed: float, prompt: float, rest: float) -> np.ndarray:
    """(3, 4), with MS_seed = 4 seed², MS_prompt = 20 prompt², MS_residual = 4 rest²."""
    s, p = np.array([-1.0, 0, 1]), np.array([-3.0, -1, 1, 3])
    return seed * s[:, None] + prompt * p + rest * np.outer([1, -2, 1], [1, -1, -1, 1])


# ----------------------------------------------------------------------------------------------------- the crossed model


def test_mean_squares_and_satterthwaite_by_hand() -> None:
    fit = stats.crossed(layout(1, 1, 1) + 7)
    assert fit.mean == pytest.approx(7)
    assert fit.standard_error**2 == pytest.approx(4 / 12 + (20 - 4) / 12)
    assert fit.degrees == pytest.approx((20 / 12) ** 2 / ((4 / 12) ** 2 / 2 + (16 / 12) ** 2 / 3))  # 30/7


def test_never_narrower_than_t_on_the_seed_means() -> None:
    d = layout(3, 1, 1)
    fit = stats.crossed(d)
    plain = (13 / 3) ** 2 / (3**2 / 2 + (4 / 3) ** 2 / 3)
    assert fit.standard_error**2 == pytest.approx(13 / 3)
    assert fit.degrees < plain
    assert fit.half() == pytest.approx(T2 * math.sqrt(3))
    assert fit.half() == pytest.approx(T2 * d.mean(1).std(ddof=1) / math.sqrt(3))


def test_a_negative_prompt_component_counts_as_none() -> None:
    fit = stats.crossed(layout(1, 0, 1))
    assert fit.standard_error**2 == pytest.approx(4 / 12)
    assert fit.degrees == pytest.approx(2)


def test_one_seed_is_t_on_the_prompts_and_one_prompt_t_on_the_seeds() -> None:
    values = np.array([1.0, 2, 4, 9, 14])
    for d in (values[None, :], values[:, None]):
        fit = stats.crossed(d)
        assert fit.mean == pytest.approx(6)
        assert fit.half() == pytest.approx(T4 * values.std(ddof=1) / math.sqrt(5))
        assert fit.degrees == pytest.approx(4)


def test_repetitions_are_fitted_one_by_one() -> None:
    d = np.random.default_rng(0).normal(size=(6, 3, 5))
    together = stats.crossed(d)
    for i, single in enumerate(d):
        assert np.allclose([x[i] for x in together], stats.crossed(single))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("variance", [0.0, 1.0])
def test_a_95_percent_interval_covers(seeds: int, variance: float) -> None:
    rng = np.random.default_rng([seeds, int(variance)])
    shape = (1500, seeds, 24)
    d = math.sqrt(variance) * rng.normal(size=(*shape[:2], 1)) + rng.normal(size=(shape[0], 1, 24)) + rng.normal(size=shape)
    fit = stats.crossed(d)
    covered = (np.abs(fit.mean) <= fit.half()).mean()
    prompts = d.mean(1)
    naive = np.abs(prompts.mean(1)) <= reference.t.ppf(0.975, 23) * prompts.std(1, ddof=1) / math.sqrt(24)
    assert 0.93 <= covered <= 0.98
    assert variance == 0 or naive.mean() < 0.85


# ---------------------------------------------------------------------------------------------------------------- pairing


def test_an_effect_is_arm_minus_baseline() -> None:
    both = table(arm=layout(1, 1, 1) + 7, base=layout(0, 0, 0) + 2)
    forth, back = (stats.effect(both, *names, "4", "j", "x") for names in (("arm", "base"), ("base", "arm")))
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
        e = stats.effect(table(arm=d + shift, base=0 * d), "arm", "base", "4", "j", "x")
        assert (e.low > 0) is excludes
        assert (e.p < 0.05) is excludes


def test_pairing_removes_what_the_arms_share() -> None:
    shared = 100 * np.random.default_rng(1).normal(size=(3, 4))
    e = stats.effect(table(arm=shared + layout(1, 1, 1), base=shared), "arm", "base", "4", "j", "x")
    assert e.standard_error == pytest.approx(math.sqrt(5 / 3))


def test_equal_arms_differ_by_exactly_nothing() -> None:
    same = np.random.default_rng(2).normal(size=(3, 4))
    e = stats.effect(table(arm=same, base=same), "arm", "base", "4", "j", "x")
    assert (e.mean, e.low, e.high, e.p, e.detectable) == (0, 0, 0, 1, 0)
    shifted = stats.effect(table(arm=np.ones((3, 4)), base=np.zeros((3, 4))), "arm", "base", "4", "j", "x")
    assert (shifted.mean, shifted.low, shifted.high, shifted.p) == (1, 1, 1, 0)


def test_the_order_of_the_rows_does_not_matter() -> None:
    both = table(arm=np.random.default_rng(3).normal(size=(3, 5, 2)), base=np.random.default_rng(4).normal(size=(3, 5, 2)))
    shuffled = both.sample(frac=1, random_state=0)
    assert stats.effect(both, "arm", "base", "4", "j", "x") == stats.effect(shuffled, "arm", "base", "4", "j", "x")


def test_sample_seeds_are_averaged_inside_a_pair_and_unjudged_ones_dropped_with_their_partner() -> None:
    arm, base = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    arm[0, 0] = [np.nan, 6]
    base[0, 0] = [1000, 3]
    arm[1, 1] = [2, 4]
    e = stats.effect(table(arm=arm, base=base), "arm", "base", "4", "j", "x")
    assert e.mean == pytest.approx((3 + 3) / 6)


def test_prompts_can_be_chosen() -> None:
    both = table(arm=[[1, 5, 9], [2, 5, 9]], base=np.zeros((2, 3)))
    e = stats.effect(both, "arm", "base", "4", "j", "x", prompts={"p0", "p1", "elsewhere"})
    assert (e.mean, e.prompts) == (pytest.approx(13 / 4), 2)
    with pytest.raises(ValueError, match="nothing to pair"):
        stats.effect(both, "arm", "base", "4", "j", "x", prompts=["elsewhere"])


def test_a_missing_pair_is_filled_from_its_seed_and_prompt() -> None:
    d = layout(2, 5, 0) + 1
    d[0, 3] = np.nan
    filled, lost = stats.completed(d)
    assert filled == pytest.approx(layout(2, 5, 0) + 1)
    assert lost == 1
    e = stats.effect(table(arm=d, base=np.zeros((3, 4))), "arm", "base", "4", "j", "x")
    assert e.mean == pytest.approx(1)  # the mean of the pairs that are there is −1/11
    assert (e.train_seeds, e.prompts) == (3, 4)


def test_the_fill_is_least_squares() -> None:
    d = np.random.default_rng(5).normal(size=(4, 7))
    d[[0, 2, 2, 3], [1, 1, 5, 0]] = np.nan
    seen = ~np.isnan(d)
    design = np.hstack([np.eye(4)[np.nonzero(seen)[0]], np.eye(7)[np.nonzero(seen)[1]]])
    effects = np.linalg.lstsq(design, d[seen], rcond=None)[0]
    filled, lost = stats.completed(d)
    assert filled[~seen] == pytest.approx((effects[:4, None] + effects[4:])[~seen])
    assert lost == 4


def test_prompts_and_seeds_without_any_pair_are_not_counted() -> None:
    d = layout(1, 1, 1)
    d[2], d[:, 3] = np.nan, np.nan
    e = stats.effect(table(arm=d, base=np.zeros((3, 4))), "arm", "base", "4", "j", "x")
    assert (e.train_seeds, e.prompts) == (2, 3)
    assert e.mean == pytest.approx(d[:2, :3].mean())


def test_one_training_seed_says_so() -> None:
    e = stats.effect(table(arm=[[3, 5, 4, 8]], base=[[1, 1, 1, 1]]), "arm", "base", "4", "j", "x")
    assert (e.train_seeds, e.prompts, e.mean, e.degrees) == (1, 4, 4, 3)
    assert e.high - e.mean == pytest.approx(T3 * np.std([2, 4, 3, 7], ddof=1) / 2)


def test_one_pair_says_nothing() -> None:
    e = stats.effect(table(arm=[[3]], base=[[1]]), "arm", "base", "4", "j", "x")
    assert (e.mean, e.low, e.high, e.p, e.detectable) == (2, -math.inf, math.inf, 1, math.inf)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_anchor_meets_every_training_seed_at_its_own_setting(sign: int) -> None:
    arm, truth = layout(1, 1, 1) + 2, np.array([[1.0, 2, 3, 4]])
    both = pd.concat([rows("arm", arm), rows("arm", arm, setting="8"), rows("truth", truth, setting="own")])
    names = ("arm", "truth") if sign > 0 else ("truth", "arm")
    e = stats.effect(both, *names, "8", "j", "x")
    assert e.mean == pytest.approx(sign * (2 - 2.5))
    assert (e.train_seeds, e.prompts) == (3, 4)
    assert stats.summary(both, "truth", "8", "j", "x")[0] == pytest.approx(2.5)


def test_an_arm_that_is_not_an_anchor_is_paired_by_seed_only() -> None:
    both = table(arm=[[1, 1], [2, 2], [9, 9]], base=[[0, 0], [0, 0]])
    e = stats.effect(both, "arm", "base", "4", "j", "x")
    assert (e.train_seeds, e.mean) == (2, 1.5)


def test_set_judges_pair_by_seed() -> None:
    both = table(arm=[1.0, 2, 6], base=[0.0, 0, 0])
    e = stats.effect(both, "arm", "base", "4", "j", "x", prompts={"p0"})
    assert (e.mean, e.train_seeds, e.prompts, e.degrees) == (3, 3, 1, 2)
    assert e.high - e.mean == pytest.approx(T2 * np.std([1, 2, 6], ddof=1) / math.sqrt(3))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("other", "base", "4", "j", "x"), "no arm 'other'.*'arm', 'base'"),
        (("arm", "base", "5", "j", "x"), "no setting '5'"),
        (("arm", "base", "4", "j", "y"), "no part 'y'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(names: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        stats.effect(table(arm=np.zeros((2, 2)), base=np.zeros((2, 2))), *names)


def test_what_was_not_measured_or_not_judged_or_twice_is_refused() -> None:
    both = pd.concat([table(arm=np.full((2, 2), np.nan), base=np.zeros((2, 2))), rows("base", np.zeros((2, 2)), part="y")])
    with pytest.raises(ValueError, match="nothing to pair"):
        stats.effect(both, "arm", "base", "4", "j", "x")
    with pytest.raises(ValueError, match="'y' was not measured on arm 'arm'"):
        stats.effect(both, "arm", "base", "4", "j", "y")
    with pytest.raises(ValueError, match="two values"):
        stats.effect(pd.concat([both, both]), "base", "base", "4", "j", "x")
    with pytest.raises(ValueError, match="lacks value"):
        stats.Table(both.drop(columns="value"))
    assert stats.Table(both).has("base", "4", "j", "y")
    assert not stats.Table(both).has("arm", "4", "j", "y")


# -------------------------------------------------------------------------------------------------- ratios, means, power


def test_the_log_ratio_of_a_set_judge_is_seedwise() -> None:
    both = table(arm=[2.0, 3, 8], base=[1.0, 1, 2])
    logs = np.log([2, 3, 4])
    e = stats.log_ratio(both, "arm", "base", "4", "j", "x")
    assert e.mean == pytest.approx(logs.mean())
    assert e.high - e.mean == pytest.approx(T2 * logs.std(ddof=1) / math.sqrt(3))
    assert stats.log_ratio(both, "base", "arm", "4", "j", "x").mean == pytest.approx(-logs.mean())


def test_the_log_ratio_over_prompts_is_that_of_the_means() -> None:
    base = np.array([[1.0, 2, 4], [2, 2, 1]])
    exact = stats.log_ratio(table(arm=1.2 * base, base=base), "arm", "base", "4", "j", "x")
    assert exact.mean == pytest.approx(math.log(1.2))
    assert exact.high - exact.low == pytest.approx(0, abs=1e-12)
    arm = base + np.array([[0.1, 0, 0], [0, 0, 0.2]])
    e = stats.log_ratio(table(arm=arm, base=base), "arm", "base", "4", "j", "x")
    assert e.mean == pytest.approx(math.log(2.05 / 2))
    assert e.standard_error == pytest.approx(stats.crossed(arm / 2.05 - base / 2).standard_error)


def test_a_small_log_ratio_has_the_width_of_the_difference() -> None:
    """Around a constant baseline, the delta method says log(1 + d) ≈ d."""
    d = 1e-3 * layout(1, 1, 1)
    both = table(arm=1 + d, base=np.ones((3, 4)))
    e, difference = (f(both, "arm", "base", "4", "j", "x") for f in (stats.log_ratio, stats.effect))
    assert (e.standard_error, e.degrees) == pytest.approx((difference.standard_error, difference.degrees), rel=1e-6)


def test_ratios_need_positive_means() -> None:
    with pytest.raises(ValueError, match="use the difference"):
        stats.log_ratio(table(arm=[[1.0, 2]], base=[[-1.0, 1]]), "arm", "base", "4", "j", "x")
    with pytest.raises(ValueError, match="use the difference"):
        stats.log_ratio(table(arm=[1.0, 2], base=[0.0, 1]), "arm", "base", "4", "j", "x")


def test_a_summary_is_the_mean_under_the_same_model() -> None:
    values = layout(1, 1, 1) + 7
    own = stats.summary(table(arm=values), "arm", "4", "j", "x")
    half = stats.crossed(values).half()
    assert own == pytest.approx((7, 7 - half, 7 + half, 3, 4))


@pytest.mark.parametrize("degrees", [1, 2.5, 4, 30, 1e5])
def test_detectable_is_found_with_80_percent_power(degrees: float) -> None:
    smallest = stats.detectable(2.0, degrees)
    power = reference.nct.sf(reference.t.ppf(0.975, degrees), degrees, smallest / 2.0)
    assert power == pytest.approx(0.8, abs=1e-5)
    if degrees == 1e5:
        assert smallest / 2 == pytest.approx(1.95996 + 0.84162, abs=1e-3)


# ----------------------------------------------------------------------------------------------------------------- claims


def test_holm_on_four_hypotheses() -> None:
    """0.01, 0.04, 0.03, 0.005: times 3, 1, 2, 4, then never below a smaller one's."""
    effects = [found(0, p=p) for p in (0.01, 0.04, 0.03, 0.005)]
    assert stats.holm(effects) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([found(0, p=p) for p in (0.6, 0.7)]) == [1, 1]
    assert stats.holm([]) == []


@pytest.mark.parametrize("better", [1, -1])
@pytest.mark.parametrize(
    ("loss", "verdict"),
    [
        (-9.0, "no worse"),
        (0.0, "no worse"),
        (0.019, "no worse"),
        (0.021, "inconclusive"),
        (0.079, "inconclusive"),
        (0.081, "worse"),
    ],
)
def test_non_inferiority_looks_at_the_losing_side(better: int, loss: float, verdict: str) -> None:
    error = 0.03 / T4  # half an interval is 0.03, the margin 0.05
    said = stats.non_inferior(found(-better * loss, error), replace(ACCURACY, better=better))
    assert said.verdict == verdict
    assert said.bound == pytest.approx(-better * (loss + 0.03))
    assert said.limit == pytest.approx(-better * 0.05)
    assert (said.p < 0.025) is (verdict == "no worse")
    assert said.p == pytest.approx(reference.t.cdf((loss - 0.05) / error, 4))


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.019, "equivalent"), (-0.019, "equivalent"), (0.021, ""), (-0.021, ""), (9, "")]
)
def test_equivalence_needs_both_sides(mean: float, verdict: str) -> None:
    said = stats.equivalent(found(mean, 0.03 / T4), replace(ACCURACY, better=0))
    assert said.verdict == (verdict or "inconclusive")
    assert (said.p < 0.025) is bool(verdict)
    assert math.copysign(1, said.limit) == math.copysign(1, mean)


def test_a_relative_margin_is_a_ratio_and_not_symmetric() -> None:
    up = found(math.log(1.10) - 0.01, 0.0099 / T4, kind=stats.LogRatio)
    assert stats.non_inferior(up, FRECHET).verdict == "no worse"
    assert stats.non_inferior(replace(up, high=math.log(1.10) + 1e-6), FRECHET).verdict == "inconclusive"
    down = found(math.log(0.90) + 0.01, 0.0099 / T4, kind=stats.LogRatio)
    assert stats.non_inferior(down, replace(FRECHET, better=1)).verdict == "no worse"
    assert stats.non_inferior(down, replace(FRECHET, better=1)).limit == pytest.approx(math.log(0.9))
    assert stats.equivalent(down, replace(FRECHET, margin=2.0)).verdict == "equivalent"


def test_margins_are_refused_on_the_wrong_scale_or_without_sense() -> None:
    with pytest.raises(ValueError, match="test it on log_ratio"):
        stats.non_inferior(found(0), FRECHET)
    with pytest.raises(ValueError, match="test it on effect"):
        stats.non_inferior(found(0, kind=stats.LogRatio), ACCURACY)
    with pytest.raises(ValueError, match="has no margin"):
        stats.non_inferior(found(0), replace(ACCURACY, margin=None))
    with pytest.raises(ValueError, match="use equivalent"):
        stats.non_inferior(found(0), replace(ACCURACY, better=0))


@pytest.mark.parametrize("better", [1, -1])
def test_best_and_what_cannot_be_told_from_it(better: int) -> None:
    noise = layout(0.1, 0.1, 0.1)
    arms = {"top": 0 * noise, "near": -0.05 + noise, "far": -9 + noise}
    both = table(**{name: better * values for name, values in arms.items()})
    ranking = stats.best(both, ["far", "near", "top"], "4", "j", "x", replace(ACCURACY, better=better))
    assert ranking == ("top", ("near",), ("far",))
    assert stats.best(both, ["top"], "4", "j", "x", ACCURACY) == ("top", (), ())
    with pytest.raises(ValueError, match="no arm is best"):
        stats.best(both, ["top"], "4", "j", "x", replace(ACCURACY, better=0))


def test_compare_takes_the_scale_of_the_margin() -> None:
    both = table(arm=[2.0, 2.2], base=[1.0, 1.0])
    assert stats.compare(both, "arm", "base", "4", "j", "x", FRECHET) == stats.log_ratio(both, "arm", "base", "4", "j", "x")
    assert type(stats.compare(both, "arm", "base", "4", "j", "x", ACCURACY)) is Effect


# ------------------------------------------------------------------------------------------------------------ the decision

CLAIM = Claim(
    ("gentle", "strong", "wild"), "base", "4", (("semigroup", "defect"),), (("shapes", "accuracy"), ("frechet", "distance"))
)
OUTPUTS = {"semigroup": {"defect": DEFECT}, "shapes": {"accuracy": ACCURACY}, "frechet": {"distance": FRECHET}}
VALIDATION = {"v0", "v1"}
NAMES = ["v0", "v1", *(f"t{i}" for i in range(8))]


def study(**arms: dict[str, tuple[float, float]]) -> pd.DataFrame:
    """Arms from {judge: (level on validation, level on test)}, with a little noise that no two arms share."""
    rng, parts = np.random.default_rng(6), []
    for name, levels in arms.items():
        for judge, part in (("semigroup", "defect"), ("shapes", "accuracy")):
            level = np.repeat(levels[judge], (2, 8))
            parts.append(rows(name, level + 0.002 * rng.normal(size=(3, 10)), judge, part, prompts=NAMES))
        for part, distance in zip(("distance@validation", "distance"), levels["frechet"], strict=True):
            parts.append(rows(name, distance * (1 + 0.002 * rng.normal(size=3)), "frechet", part))
    return pd.concat(parts, ignore_index=True)


def arm(
    defect: tuple[float, float], accuracy: tuple[float, float] = (0.8, 0.8), frechet: tuple[float, float] = (10, 10)
) -> dict:
    return {"semigroup": defect, "shapes": accuracy, "frechet": frechet}


BASE, GENTLE = arm((0.5, 0.5)), arm((0.4, 0.4))
STRONG = arm((0.3, 0.3), (0.79, 0.79), (10.3, 10.3))


def decided(wild: dict, strong: dict = STRONG, gentle: dict = GENTLE) -> stats.Decision:
    return stats.decide(study(base=BASE, gentle=gentle, strong=strong, wild=wild), CLAIM, OUTPUTS, VALIDATION)


@pytest.mark.parametrize(
    "wild",
    [
        arm((0.1, 0.1), accuracy=(0.77, 0.8)),  # loses 0.03, more than half of 0.05
        arm((0.1, 0.1), frechet=(10.6, 10)),  # 6% more, beyond half of 10%
    ],
)
def test_the_lowest_that_qualifies_on_validation_is_chosen(wild: dict) -> None:
    decision = decided(wild)
    assert decision.chosen == "strong"
    assert decision.holds
    assert "claim holds" in decision.sentence
    assert [candidate.qualifies for candidate in decision.candidates] == [True, True, False]
    assert [candidate.lowest.mean for candidate in decision.candidates] == pytest.approx([-0.1, -0.2, -0.4], abs=0.01)
    assert [condition.asks for condition in decision.conditions] == ["lower", "no worse", "no worse"]
    assert decision.conditions[0].effect.prompts == 8
    assert decision.candidates[0].lowest.prompts == 2


def test_a_gain_never_disqualifies() -> None:
    decision = decided(arm((0.1, 0.1), accuracy=(0.99, 0.99), frechet=(5, 5)))
    assert (decision.chosen, decision.holds) == ("wild", True)


def test_the_test_prompts_have_no_say_in_the_choice() -> None:
    decision = decided(arm((0.1, 0.6), accuracy=(0.8, 0.1), frechet=(10, 20)))
    assert decision.chosen == "wild"
    assert not decision.holds
    assert [condition.holds for condition in decision.conditions] == [False, False, False]
    assert ": higher" in decision.conditions[0].sentence
    assert ": worse" in decision.conditions[1].sentence
    assert all(condition.sentence in decision.sentence for condition in decision.conditions)


@pytest.mark.parametrize(
    ("wild", "holds"),
    [
        (arm((0.1, 0.51)), [False, True, True]),
        (arm((0.1, 0.1), accuracy=(0.8, 0.7)), [True, False, True]),
        (arm((0.1, 0.1), frechet=(10, 11.5)), [True, True, False]),
        (arm((0.1, 0.1), accuracy=(0.8, 0.77), frechet=(10, 10.7)), [True, True, True]),
    ],
)
def test_every_condition_must_hold_on_the_test_prompts(wild: dict, holds: list[bool]) -> None:
    decision = decided(wild)
    assert decision.chosen == "wild"
    assert [condition.holds for condition in decision.conditions] == holds
    assert decision.holds is all(holds)


def test_where_none_qualifies_none_is_chosen() -> None:
    poor = arm((0.1, 0.1), accuracy=(0.5, 0.9))
    decision = decided(poor, poor, poor)
    assert (decision.chosen, decision.conditions, decision.holds) == (None, (), False)
    assert "none is chosen" in decision.sentence
    assert "beyond half of the margin" in decision.candidates[0].no_worse[0].sentence


def test_a_decision_needs_validation_prompts_and_outputs() -> None:
    scores = study(base=BASE, gentle=GENTLE, strong=STRONG, wild=GENTLE)
    with pytest.raises(ValueError, match="tag some prompts"):
        stats.decide(scores, CLAIM, OUTPUTS, {"elsewhere"})
    with pytest.raises(ValueError, match="not among the outputs"):
        stats.decide(scores, CLAIM, {"shapes": {"accuracy": ACCURACY}}, VALIDATION)
    with pytest.raises(ValueError, match="its better is 0"):
        stats.decide(scores, CLAIM, {**OUTPUTS, "shapes": {"accuracy": replace(ACCURACY, better=0)}}, VALIDATION)


def test_stats_need_no_torch() -> None:
    code = "import sys, salt_bench.stats; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
