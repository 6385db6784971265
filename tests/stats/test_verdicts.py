"""What may be said of effects that were chosen beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from layouts import ACCURACY, FRECHET, T4, X, found, layout, table
from scipy import stats as reference

from salt_bench.stats.effects import LogRatio
from salt_bench.stats.verdicts import best, equivalent, holm, non_inferior


def test_holm_on_four_hypotheses() -> None:
    """0.01, 0.04, 0.03, 0.005: times 3, 1, 2, 4, then never below a smaller one's."""
    effects = [found(0, p=p) for p in (0.01, 0.04, 0.03, 0.005)]
    assert holm(effects) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([found(0, p=p) for p in (0.6, 0.7)]) == [1, 1]
    assert holm([]) == []


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
    said = non_inferior(found(-better * loss, error), replace(ACCURACY, better=better))
    assert said.verdict == verdict
    assert said.bound == pytest.approx(-better * (loss + 0.03))
    assert said.limit == pytest.approx(-better * 0.05)
    assert (said.p < 0.025) is (verdict == "no worse")
    assert said.p == pytest.approx(reference.t.cdf((loss - 0.05) / error, 4))


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.019, "equivalent"), (-0.019, "equivalent"), (0.021, ""), (-0.021, ""), (9, "")]
)
def test_equivalence_needs_both_sides(mean: float, verdict: str) -> None:
    said = equivalent(found(mean, 0.03 / T4), replace(ACCURACY, better=0))
    assert said.verdict == (verdict or "inconclusive")
    assert (said.p < 0.025) is bool(verdict)
    assert math.copysign(1, said.limit) == math.copysign(1, mean)


def test_a_relative_margin_is_a_ratio_and_not_symmetric() -> None:
    up = found(math.log(1.10) - 0.01, 0.0099 / T4, kind=LogRatio)
    assert non_inferior(up, FRECHET).verdict == "no worse"
    assert non_inferior(replace(up, high=math.log(1.10) + 1e-6), FRECHET).verdict == "inconclusive"
    down = found(math.log(0.90) + 0.01, 0.0099 / T4, kind=LogRatio)
    assert non_inferior(down, replace(FRECHET, better=1)).verdict == "no worse"
    assert non_inferior(down, replace(FRECHET, better=1)).limit == pytest.approx(math.log(0.9))
    assert equivalent(down, replace(FRECHET, margin=2.0)).verdict == "equivalent"


def test_margins_are_refused_on_the_wrong_scale_or_without_sense() -> None:
    with pytest.raises(ValueError, match="test it on log_ratio"):
        non_inferior(found(0), FRECHET)
    with pytest.raises(ValueError, match="test it on effect"):
        non_inferior(found(0, kind=LogRatio), ACCURACY)
    with pytest.raises(ValueError, match="has no margin"):
        non_inferior(found(0), replace(ACCURACY, margin=None))
    with pytest.raises(ValueError, match="use equivalent"):
        non_inferior(found(0), replace(ACCURACY, better=0))


@pytest.mark.parametrize("better", [1, -1])
def test_best_and_what_cannot_be_told_from_it(better: int) -> None:
    noise = layout(0.1, 0.1, 0.1)
    arms = {"top": 0 * noise, "near": -0.05 + noise, "far": -9 + noise}
    both = table(**{name: better * values for name, values in arms.items()})
    ranking = best(both, X, ["far", "near", "top"], replace(ACCURACY, better=better))
    assert ranking == ("top", ("near",), ("far",))
    assert best(both, X, ["top"], ACCURACY) == ("top", (), ())
    with pytest.raises(ValueError, match="no arm is best"):
        best(both, X, ["top"], replace(ACCURACY, better=0))
