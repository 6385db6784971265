"""Shares of votes that can be counted by hand, and an interval that covers where voters and prompts differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from salt_bench.stats.improvement import bounded, doubt
from salt_bench.stats.preference import fit, preference, shares
from salt_bench.stats.verdicts import adjusted
from salt_bench.votes import Vote


def vote(voter: str, prompt: int, winner: str, turned: bool = False) -> Vote:
    left, right = ("b", "a") if turned else ("a", "b")
    choice = winner if winner in ("tie", "skip") else "left" if winner == left else "right"
    return Vote(voter, f"p{prompt}", left, right, choice)


def test_shares_are_counted_by_voter_and_prompt_whatever_the_side() -> None:
    found = [vote("v", 1, "a"), vote("v", 2, "b", True), vote("u", 1, "tie"), vote("u", 2, "skip"), vote("u", 3, "a", True)]
    other = Vote("v", "p1", "a", "c", "right")
    np.testing.assert_array_equal(shares([*found, other], "a", "b"), [[0.5, np.nan, 1.0], [1.0, 0.0, np.nan]])
    one = preference([*found, other], "a", "b")
    assert one is not None
    assert (one.won, one.tied, one.lost, one.voters, one.prompts) == (2, 1, 1, 2, 3)
    turned = preference([*found, other], "b", "a")
    assert turned is not None
    assert (turned.mean, turned.low, turned.high) == pytest.approx((1 - one.mean, 1 - one.high, 1 - one.low))
    assert turned.p == pytest.approx(one.p)
    assert preference([vote("v", 1, "skip")], "a", "b") is None


def test_one_voter_who_always_prefers_one_is_believed_after_enough_prompts() -> None:
    few, many = (preference([vote("v", p, "a") for p in range(count)], "a", "b") for count in (3, 30))
    assert few is not None
    assert many is not None
    assert few.mean == many.mean == 1.0
    assert few.p > 0.05 > 0.001 > many.p
    assert few.low < 0.5 < many.low
    assert many.detectable < few.detectable


def test_one_vote_says_nothing() -> None:
    one = preference([vote("v", 1, "a")], "a", "b")
    assert one is not None
    assert (one.mean, one.p, one.detectable) == (1.0, 1.0, np.inf)
    assert one.low < 0.5


def test_voters_who_disagree_leave_it_open_however_many_prompts() -> None:
    agreed = preference([vote(v, p, "a") for v in "uvw" for p in range(40)], "a", "b")
    split = preference([vote(v, p, "b" if v == "w" else "a") for v in "uvw" for p in range(40)], "a", "b")
    assert agreed is not None
    assert split is not None
    assert agreed.p < 0.05
    assert split.mean == pytest.approx(2 / 3)
    assert split.p > 0.3
    assert split.low < 0.2


def test_p_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(0)
    for shift in rng.normal(size=60):
        won = (rng.normal(size=(3, 12)) + shift > 0).astype(float)
        found = bounded(fit(won), 12)
        assert (doubt(fit(won), 12) < 0.05) == (not found.low <= 0.5 <= found.high)


@pytest.mark.parametrize("voters", [1, 3, 8])
@pytest.mark.parametrize("shift", [0.0, 0.8, 2.0])
def test_the_interval_covers_at_the_size_of_a_gallery(voters: int, shift: float) -> None:
    rng, taste = np.random.default_rng(voters), 0.6 if voters > 1 else 0.0
    liking = shift + taste * rng.normal(size=(300, voters, 1)) + 0.5 * rng.normal(size=(300, 1, 8))
    won = (liking + rng.normal(size=(300, voters, 8)) > 0).astype(float)
    truth = special.ndtr(shift / np.sqrt(1.25 + taste**2))
    found = [bounded(fit(one), 8) for one in won]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.94
    if not shift:
        assert np.mean([doubt(fit(one), 8) < 0.05 for one in won]) < 0.05


def test_three_voters_who_nearly_agree_are_believed() -> None:
    exceptions = {("u", 3), ("w", 5)}
    one = preference([vote(v, p, "b" if (v, p) in exceptions else "a") for v in "uvw" for p in range(8)], "a", "b")
    assert one is not None
    assert one.mean == pytest.approx(22 / 24)
    assert 0.5 < one.low < 0.6
    assert one.p < 0.05


def test_holm_of_bare_p() -> None:
    assert adjusted([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
