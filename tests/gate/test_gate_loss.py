"""Losses in margins, by hand; gauges by their names; what a few samples may say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference
from sides import ERROR, OUTPUTS, SHARP

from salt_bench.errors import WrongUse
from salt_bench.gate.gauge import Gauge, gauges, overridden
from salt_bench.gate.loss import LEAST, loss, p_no_worse, p_worse
from salt_bench.gate.verdict import Finding, Verdict, decide, needed, overall
from salt_bench.stats.crossed import Fit
from salt_bench.types import Output

LOWER, HIGHER = ERROR, Gauge("j", "x", Output("1", +1, 2.0))
BASE = np.array([[10.0, 12, 14, 16]])


def test_a_loss_counts_margins_in_the_worse_direction() -> None:
    worse = BASE + np.array([[3.0, 5, 3, 5]])
    assert loss(worse, BASE, LOWER).mean == pytest.approx(2.0)
    assert loss(worse, BASE, HIGHER).mean == pytest.approx(-2.0)
    spread = np.sqrt(2) * worse.std(ddof=1) / 2.0 / 4
    assert loss(worse, BASE, LOWER).standard_error == pytest.approx(np.hypot(np.std([3, 5, 3, 5], ddof=1) / 2 / 2, spread))
    assert loss(worse, BASE, LOWER).degrees == 3


def test_a_relative_loss_is_a_share_of_the_baseline() -> None:
    assert SHARP.margin == 0.05
    assert loss(BASE * 0.95, BASE, SHARP).mean == pytest.approx(1.0)
    assert loss(BASE * 0.95**2, BASE, SHARP).mean == pytest.approx(2.0)
    cheaper = Gauge("j", "x", Output("s", -1, 0.05, relative=True))
    assert loss(BASE * 1.05, BASE, cheaper).mean == pytest.approx(1.0)
    with pytest.raises(ValueError, match="not positive"):
        loss(BASE - 13, BASE, SHARP)


def test_a_missing_pair_is_filled_by_its_seed_and_prompt() -> None:
    baseline = np.vstack([BASE, BASE])
    candidate = baseline + 4.0
    candidate[0, 1] = baseline[0, 1] = np.nan
    assert loss(candidate, baseline, LOWER).mean == pytest.approx(2.0)


def test_equal_pairs_are_no_certainty() -> None:
    """The rule of three: what happens to one prompt in thirty is not seen on eight."""
    rng = np.random.default_rng(0)
    few, many = (loss(x, x, LOWER) for x in (rng.normal(20, 8, (1, 16)), rng.normal(20, 8, (1, 400))))
    assert few.mean == many.mean == 0
    assert few.standard_error > 0.2 > 0.02 > many.standard_error > 0


def test_p_values_are_those_of_one_sided_tests() -> None:
    fit = Fit(np.array(2.0), np.array(0.5), np.array(20.0))
    assert p_worse(fit) == pytest.approx(reference.t.sf(2.0, 20))
    assert p_no_worse(fit) == pytest.approx(reference.t.sf(-2.0, 20))


def fit(mean: float, error: float = 0.1) -> Fit:
    return Fit(np.array(mean), np.array(error), np.array(99.0))


def test_verdicts_of_clear_cases() -> None:
    sure = [fit(0.0), fit(2.0), fit(1.0), fit(-3.0)]
    said = decide(sure, [100] * 4)
    assert said == [Verdict.PASS, Verdict.REGRESSION, Verdict.INCONCLUSIVE, Verdict.PASS]
    assert overall(said) is Verdict.REGRESSION
    assert overall([Verdict.PASS, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert set(decide(sure, [LEAST - 1] * 4)) == {Verdict.INCONCLUSIVE}
    with pytest.raises(ValueError, match="nothing was gated"):
        overall([])


def test_holm_lets_the_second_finding_be_weaker() -> None:
    weak = fit(1 + 0.1 * reference.t.ppf(1 - 0.03, 99))
    assert decide([weak, weak], [100] * 2) == [Verdict.INCONCLUSIVE] * 2
    assert decide([fit(9.0), weak], [100] * 2) == [Verdict.REGRESSION] * 2


def test_what_would_decide_grows_with_the_square_of_the_spread() -> None:
    count = needed(fit(0.0, 1.0), 100, 7)
    assert count == math.ceil((reference.norm.ppf(0.975) + reference.norm.ppf(0.8)) ** 2 * 100)
    assert needed(fit(0.0, 2.0), 100, 7) == pytest.approx(4 * count, abs=4)
    assert needed(fit(0.0, 0.001), 3, 7) == LEAST
    assert needed(fit(1.0, 1.0), 100, 7) is None
    assert needed(fit(3.0, 1.0), 100, 1) < needed(fit(3.0, 1.0), 100, 7)  # type: ignore[operator]


def test_a_change_is_told_in_the_judges_unit() -> None:
    assert Finding(LOWER, Verdict.PASS).change(1.0) == pytest.approx(2.0)
    assert Finding(HIGHER, Verdict.PASS).change(1.0) == pytest.approx(-2.0)
    assert Finding(SHARP, Verdict.PASS).change(1.0) == pytest.approx(-0.05)


def test_a_judge_stands_for_its_first_part_with_a_margin() -> None:
    assert [gauge.name for gauge in gauges(OUTPUTS)] == ["bright.error", "sharp.score"]
    assert [gauge.name for gauge in gauges(OUTPUTS, ["sharp", "bright.worst"])] == ["sharp.score", "bright.worst"]
    for name, words in (
        ("brigt", "did you mean bright"),
        ("bright.eror", "did you mean error"),
        ("bright.mean", "no direction"),
        ("plain", "no margin"),
    ):
        with pytest.raises(WrongUse, match=words):
            gauges(OUTPUTS, [name])


def test_margins_can_be_overridden() -> None:
    changed = overridden(OUTPUTS, ["bright=0.5", "bright.worst=10%", "plain=0.1"])
    assert (changed["bright"]["error"].margin, changed["bright"]["error"].relative) == (0.5, False)
    assert (changed["bright"]["worst"].margin, changed["bright"]["worst"].relative) == (0.1, True)
    assert [gauge.name for gauge in gauges(changed)] == ["bright.error", "sharp.score", "plain.score"]
    assert OUTPUTS["bright"]["error"].margin == 2.0
    for text in ("bright", "bright=x", "bright=0", "bright=-1", "bright=100%", "bright=inf", "nobody=1"):
        with pytest.raises(WrongUse, match=r"margin|judge"):
            overridden(OUTPUTS, [text])
