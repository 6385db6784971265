"""What the suites ask for, and that the truth answers it without a gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from salt_bench.judges.base import Features
from salt_bench.samplers.truth import Truth
from salt_bench.study import check
from salt_bench.suites.shapes import differences, long_benchmark, rollouts, switch_benchmark, switches
from salt_bench.types import Study
from salt_bench.worlds.shapes import ShapesWorld

WORLD = ShapesWorld()
GRIDS = {4: (1.0, 0.75, 0.5, 0.25)}
ARMS = {"truth again": Truth(WORLD, 36, 4)}


def test_long_rollouts_are_of_what_stands_still() -> None:
    found = rollouts(20, 5)
    assert {p.factors["motion"] for p in found} == {"still"}
    assert ["validation" in p.tags for p in found] == [True] * 5 + [False] * 20
    assert {p.factors["motion"] for p in rollouts(40, 0, ("up", "left"))} == {"up", "left"}


def test_switches_are_pairs_of_different_pictures_and_always_the_same() -> None:
    found = switches(200, 8)
    assert found[:20] == switches(20, 8)
    assert len({p.id for p in found}) == 200
    for prompt in found:
        (_, before), (at, after) = WORLD.parts(prompt)
        assert (at, before.factors["motion"], after.factors["motion"]) == (8, "still", "still")
        assert differences(before, after) >= 2
        assert "test" in prompt.tags
        assert "validation" not in prompt.tags
    assert all("validation" in p.tags for p in switches(5, split="validation"))
    with pytest.raises(ValueError, match="got n = 100000"):
        switches(100_000)


def test_the_order_in_a_caption_is_no_difference() -> None:
    pair = next(p for p in WORLD.prompts("test") if p.factors["count"] == "2")
    swapped = {"colour": "colour2", "colour2": "colour", "shape": "shape2", "shape2": "shape"}
    other = type(pair)("x", "x", "shapes", {k: pair.factors[swapped.get(k, k)] for k in pair.factors})
    assert differences(pair, other) == 0
    one = next(p for p in WORLD.prompts("test") if p.factors["count"] == "1" and p.factors["scene"] == pair.factors["scene"])
    assert differences(pair, one) >= 3


@pytest.mark.parametrize("make", [long_benchmark, switch_benchmark])
def test_the_truth_leaves_no_gap(make: object) -> None:
    study: Study = make("s", "Why?", ARMS, "truth again", GRIDS, frames=36)  # type: ignore[operator]
    check(study)
    for clip in study.anchors["truth"].sampler(0, Path())(study.prompts[::20], 0):
        values = [judge(clip, Features(clip)) for judge in study.judges]
        assert all(value is not None for row in values for value in row.values())
        assert len(values[0]) > 1
