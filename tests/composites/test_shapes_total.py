"""Shapes Quality, Semantic and Total: arithmetic with known answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from salt_bench import judge_table
from salt_bench.composites import shapes_total
from salt_bench.composites.shapes_total import DIMENSIONS, OUTPUTS, QUALITY, SEMANTIC, composite, missing, scores, summaries
from salt_bench.judges.base import Features
from salt_bench.suites import shapes
from salt_bench.types import ArrayClip, Score
from salt_bench.worlds.shapes import ShapesWorld

ROOT = Path(__file__).parents[2]

TRUTH = {(d.judge, d.part): d.truth for d in DIMENSIONS}
FLOOR = {(d.judge, d.part): d.floor for d in DIMENSIONS}
SHAPE, RELATION, STYLE = ("shapes", "shape"), ("shapes", "relation"), ("style", "score")
SUBJECT, DYNAMIC = ("subject_consistency", "score"), ("dynamic_degree", "dynamic")


def test_the_truth_has_100_points_and_the_floor_none() -> None:
    assert composite(TRUTH) == pytest.approx({"quality": 100, "semantic": 100, "total": 100})
    assert composite(FLOOR) == pytest.approx({"quality": 0, "semantic": 0, "total": 0}, abs=1e-9)


def test_the_form_is_vbenchs() -> None:
    """Seven dimensions of quality would weigh 6.5; here are six, without aesthetics. Nine of the caption."""
    assert sum(d.weight for d in DIMENSIONS if d.half == QUALITY) == 5.5
    assert [d.weight for d in DIMENSIONS if d.half == SEMANTIC] == [1.0] * 9
    assert composite(FLOOR | {SUBJECT: TRUTH[SUBJECT]}) == pytest.approx(
        {"quality": 100 / 5.5, "semantic": 0, "total": 80 / 5.5}, abs=1e-9
    )
    assert composite(FLOOR | {DYNAMIC: TRUTH[DYNAMIC]})["quality"] == pytest.approx(50 / 5.5)
    assert composite(FLOOR | {STYLE: TRUTH[STYLE]}) == pytest.approx(
        {"quality": 0, "semantic": 100 / 9, "total": 20 / 9}, abs=1e-9
    )


def test_points_are_not_clipped() -> None:
    style = next(d for d in DIMENSIONS if d.judge == "style")
    below, above = style.floor - (style.truth - style.floor), style.truth + (style.truth - style.floor)
    assert composite(TRUTH | {STYLE: below})["semantic"] == pytest.approx(100 - 200 / 9)
    assert composite(TRUTH | {STYLE: above})["semantic"] == pytest.approx(100 + 100 / 9)


def test_a_missing_dimension_makes_its_half_and_the_total_missing() -> None:
    rest = {key: value for key, value in TRUTH.items() if key != RELATION}
    assert missing(rest) == {"quality": [], "semantic": ["shapes relation"], "total": ["shapes relation"]}
    assert composite(rest) == {"quality": pytest.approx(100), "semantic": None, "total": None}


def test_every_dimension_is_measured_by_the_judges_of_the_suite() -> None:
    offered = {
        (judge.name, part): output
        for judge in (*shapes.JUDGES, *shapes.SEMANTIC_JUDGES)
        for part, output in judge.outputs.items()
    }
    assert set(TRUTH) <= set(offered)
    assert all(offered[key].better == 1 and TRUTH[key] > FLOOR[key] for key in TRUTH)
    assert len(set(TRUTH)) == len(DIMENSIONS)


def test_the_anchors_of_quality_are_those_of_the_published_table_of_judges() -> None:
    means = {(row.source, row.judge, row.part): row.mean for row in judge_table.read(ROOT / "reports" / "judges")}
    for d in DIMENSIONS:
        if d.half == QUALITY:
            assert (means[d.worst, d.judge, d.part], means["truth", d.judge, d.part]) == (d.floor, d.truth)
            assert d.floor == min(mean for (_, judge, part), mean in means.items() if (judge, part) == (d.judge, d.part))


def test_the_anchors_of_the_caption_are_the_truth_and_another_prompts_truth() -> None:
    """On 96 of the 512 prompts, within four standard errors."""
    world = ShapesWorld()
    prompts = world.prompts("test")
    videos = world.render(prompts[:97], 0)
    for d in (d for d in DIMENSIONS if d.half == SEMANTIC):
        judge = next(j for j in (*shapes.JUDGES, *shapes.SEMANTIC_JUDGES) if j.name == d.judge)
        for first, anchor in ((0, d.truth), (1, d.floor)):
            clips = [ArrayClip(p, 0, v, world.fps) for p, v in zip(prompts[:96], videos[first:], strict=False)]
            said = np.array([v for clip in clips if (v := judge(clip, Features(clip)).get(d.part)) is not None])
            assert abs(said.mean() - anchor) < 4 * max(said.std() / len(said) ** 0.5, 1e-3), (d, first, said.mean())


def test_no_label_says_vbench() -> None:
    assert all(output.title.startswith("Shapes") and output.unit.startswith("Shapes") for output in OUTPUTS.values())


# ------------------------------------------------------------------------------------------------------------------ tables


def rows(arm: str, seed: int, level: float, prompts: int = 8, spread: float = 0.0) -> list[Score]:
    """An arm at `level` of the way from the floor to the truth (± `spread` by prompt); odd prompts have no relation."""
    found = []
    for n in range(prompts):
        here = level + spread * (n - (prompts - 1) / 2)
        by_judge: dict[str, dict[str, float | None]] = {}
        for d in DIMENSIONS:
            if (d.judge, d.part) != RELATION or n % 2 == 0:
                at = level if (d.judge, d.part) == RELATION else here
                by_judge.setdefault(d.judge, {})[d.part] = d.floor + at * (d.truth - d.floor)
        found += [Score(arm, "4 steps", seed, f"p{n}", 0, judge, values) for judge, values in by_judge.items()]
    return found


def test_the_mean_over_prompts_is_the_composite_of_the_means() -> None:
    table = rows("a", 0, 0.5, spread=0.1)
    assert len(found := scores(table)) == 8
    values: dict[tuple[str, str], list[float]] = {}
    for row in table:
        for part, value in row.values.items():
            values.setdefault((row.judge, part), []).append(value)  # type: ignore[arg-type]
    means = {key: float(np.mean(value)) for key, value in values.items()}
    for name, value in composite(means).items():
        assert np.mean([row.values[name] for row in found]) == pytest.approx(value)  # type: ignore[arg-type]
        assert value == pytest.approx(50)


def test_what_could_not_be_judged_is_no_zero() -> None:
    table = rows("a", 0, 0.5)
    lost = [replace(r, values={"score": None}, note="why") if (r.prompt, r.judge) == ("p3", "style") else r for r in table]
    assert np.mean([row.values["total"] for row in scores(lost)]) == pytest.approx(50)  # type: ignore[arg-type]


def test_a_lost_dimension_is_none_and_said() -> None:
    table = [row for row in rows("a", 0, 0.5) if row.judge != "style"]
    for row in scores(table):
        assert row.values["semantic"] is row.values["total"] is None
        assert row.values["quality"] == pytest.approx(50)
        assert row.note == "missing: style score"
    assert set(summaries(table)) == {("a", "4 steps", "quality")}


def test_only_some_prompts() -> None:
    table = rows("a", 0, 0.5, spread=0.1)
    found = scores(table, {"p0", "p1"})
    assert [row.prompt for row in found] == ["p0", "p1"]
    assert np.mean([row.values["quality"] for row in found]) == pytest.approx(50 + 10 * (0.5 - 3.5))  # type: ignore[arg-type]


def test_intervals_are_those_of_the_study() -> None:
    table = [row for seed, level in enumerate((0.4, 0.5, 0.6)) for row in rows("a", seed, level)]
    found = summaries(table)["a", "4 steps", "total"]
    half = 4.302653 * 10 / 3**0.5  # Student's t over three training seeds, 40, 50 and 60
    assert (found.mean, found.low, found.high) == pytest.approx((50, 50 - half, 50 + half))
    assert (found.train_seeds, found.prompts) == (3, 8)


def test_the_scores_are_a_table_like_any_other() -> None:
    found = scores(rows("b", 1, 0.5) + rows("a", 0, 0.25))
    assert [row.arm for row in found] == ["a"] * 8 + ["b"] * 8
    assert {row.judge for row in found} == {shapes_total.NAME}
    assert set(found[0].values) == set(OUTPUTS)
