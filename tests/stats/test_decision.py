"""The choice among candidates and the test of the chosen one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from layouts import ACCURACY, DEFECT, FRECHET, rows

from salt_bench.stats.decision import Decision, decide
from salt_bench.types import Claim

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


def decided(wild: dict, strong: dict = STRONG, gentle: dict = GENTLE) -> Decision:
    return decide(study(base=BASE, gentle=gentle, strong=strong, wild=wild), CLAIM, OUTPUTS, VALIDATION)


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
        decide(scores, CLAIM, OUTPUTS, {"elsewhere"})
    with pytest.raises(ValueError, match="not among the outputs"):
        decide(scores, CLAIM, {"shapes": {"accuracy": ACCURACY}}, VALIDATION)
    with pytest.raises(ValueError, match="its better is 0"):
        decide(scores, CLAIM, {**OUTPUTS, "shapes": {"accuracy": replace(ACCURACY, better=0)}}, VALIDATION)
