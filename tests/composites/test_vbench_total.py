"""Quality, Semantic and Total against published models, and against arithmetic by hand."""

from __future__ import annotations

import json

import pytest
from vbench_results import VIDEOCRAFTER, row, rows

from salt_bench.composites import vbench_i2v, vbench_total
from salt_bench.composites.rows import Aggregate
from salt_bench.composites.scheme import Range
from salt_bench.composites.summary import recorded
from salt_bench.composites.vbench_total import SCHEME
from salt_bench.errors import UserError, WrongUse


def test_videocrafter_has_its_published_composites() -> None:
    assert {name: round(100 * (SCHEME.value(name, VIDEOCRAFTER) or 0), 2) for name in SCHEME.composites} == {
        "quality": 82.20,
        "semantic": 73.42,
        "total": 80.44,
    }


def test_normalisation_is_the_published_one_and_is_not_clipped() -> None:
    spans = SCHEME.ranges("total")
    assert round(spans["scene"].normalised(0.5529), 5) == 0.67246
    assert round(spans["motion_smoothness"].normalised(0.9773), 5) == 0.93070
    assert round(spans["motion_smoothness"].normalised(0.0), 2) == -2.42
    assert Range(0.0, 0.5).normalised(1.0) == 2.0


def test_weights_are_those_of_the_sixteen_dimensions() -> None:
    quality, semantic, total = (SCHEME.shares(name) for name in SCHEME.composites)
    assert (len(quality), len(semantic), len(total)) == (7, 9, 16)
    assert quality["dynamic_degree"] == 0.5 / 6.5
    assert quality["imaging_quality"] == 1 / 6.5
    assert set(semantic.values()) == {1 / 9}
    assert total["dynamic_degree"] == pytest.approx(0.8 * 0.5 / 6.5)
    assert sum(total.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", SCHEME.dimensions)
def test_slopes_are_what_a_point_of_a_dimension_adds(name: str) -> None:
    more = VIDEOCRAFTER | {name: VIDEOCRAFTER[name] + 0.01}
    for composite in SCHEME.composites:
        added = (SCHEME.value(composite, more) or 0) - (SCHEME.value(composite, VIDEOCRAFTER) or 0)
        assert added == pytest.approx(0.01 * SCHEME.slopes(composite).get(name, 0.0), abs=1e-12)


def test_a_missing_dimension_is_no_zero_and_is_named() -> None:
    without = {name: value for name, value in VIDEOCRAFTER.items() if name != "scene"}
    assert SCHEME.missing("semantic", without) == SCHEME.missing("total", without) == ("scene",)
    assert SCHEME.value("semantic", without) is None
    assert SCHEME.value("total", without) is None
    assert SCHEME.value("quality", without) == SCHEME.value("quality", VIDEOCRAFTER)
    assert SCHEME.value("total", VIDEOCRAFTER | {"scene": 0.0}) is not None, "a true 0 counts"


def test_the_summary_of_rows_is_what_the_rows_say() -> None:
    found = recorded(SCHEME, rows(spread=0.0), {"suite": "made up"})
    assert found["dimensions"] == pytest.approx(VIDEOCRAFTER)
    assert [round(100 * found[name], 2) for name in ("quality", "semantic", "total")] == [82.20, 73.42, 80.44]
    assert found["missing"] == []
    assert found["protocol"] == {"suite": "made up"}
    assert found["prompts"]["color"] == 85
    assert found["videos"]["color"] == 425
    json.dumps(found, allow_nan=False)


def test_the_summary_says_what_is_missing_and_why() -> None:
    made = [one for one in rows(prompts=3) if one["judge"] not in ("vbench/scene", "vbench/color")]
    made += [row("color", "a red car", 0, None, note="no car was seen")]
    found = recorded(SCHEME, made, {})
    assert found["missing"] == ["color", "scene"]
    assert found["missing_because"]["scene"] == "no score of it"
    assert found["missing_because"]["color"] == "none of its videos has a value"
    assert found["semantic"] is found["total"] is None
    assert found["quality"] == pytest.approx(0.82, abs=0.05)


def test_dataset_scores_are_weighted_by_frames() -> None:
    made = [row("subject_consistency", "a", 0, 0.9, weight=8), row("subject_consistency", "a", 1, 0.6, weight=24)]
    assert recorded(SCHEME, made, {})["dimensions"]["subject_consistency"] == pytest.approx((8 * 0.9 + 24 * 0.6) / 32)
    by_video = recorded(SCHEME, made, {}, Aggregate.multi_gpu)
    assert by_video["dimensions"]["subject_consistency"] == pytest.approx(0.75)
    assert by_video["aggregate"] == "multi-gpu"


@pytest.mark.parametrize(
    ("name", "several"), [("background_consistency", 0.675), ("spatial_relationship", 0.75), ("scene", 0.675)]
)
def test_only_some_dimensions_are_counted_otherwise_by_several_processes(name: str, several: float) -> None:
    made = [row(name, "a", 0, 0.9, weight=8), row(name, "a", 1, 0.6, weight=24)]
    assert recorded(SCHEME, made, {})["dimensions"][name] == pytest.approx(0.675)
    assert recorded(SCHEME, made, {}, Aggregate.multi_gpu)["dimensions"][name] == pytest.approx(several)


def test_several_processes_score_the_last_frame_of_a_style() -> None:
    made = [
        row("appearance_style", "a", 0, 0.2, weight=2, extra={"frame_results": [0.1, 0.3]}),
        row("appearance_style", "b", 0, 0.4, weight=4, extra={"frame_results": [0.5, 0.3, 0.6, 0.2]}),
    ]
    assert recorded(SCHEME, made, {})["dimensions"]["appearance_style"] == pytest.approx(
        (0.1 + 0.3 + 0.5 + 0.3 + 0.6 + 0.2) / 6
    )
    assert recorded(SCHEME, made, {}, Aggregate.multi_gpu)["dimensions"]["appearance_style"] == pytest.approx((0.3 + 0.2) / 2)
    del made[0]["extra"]
    found = recorded(SCHEME, made, {}, Aggregate.multi_gpu)
    assert "frame_results" in found["missing_because"]["appearance_style"]


def test_color_leaves_out_and_the_others_could_not_judge() -> None:
    made = [row("color", "a", 0, 0.5), row("color", "a", 1, None, note="never seen"), row("color", "b", 0, 1.0)]
    made += [row("imaging_quality", "a", 0, 60.0), row("imaging_quality", "a", 1, None, note="cannot be decoded")]
    found = recorded(SCHEME, made, {})
    assert found["dimensions"] == {"imaging_quality": 0.6, "color": 0.75}
    assert found["left_out"] == {"color": 1}
    assert found["unjudged"] == {"imaging_quality": ["a-1: cannot be decoded"]}


def test_a_score_that_cannot_be_is_remarked() -> None:
    found = recorded(SCHEME, [row("overall_consistency", "a", 0, 324.0)], {})
    assert "overall_consistency is 324, and a score lies in [-1, 1]: were its weights loaded?" in found["remarks"]


def test_a_video_that_is_judged_twice_and_a_strange_dimension_are_refused() -> None:
    with pytest.raises(UserError, match="color of 'a' number 0 is given twice"):
        recorded(SCHEME, [row("color", "a", 0, 0.5), row("color", "a", 0, 0.5)], {})
    with pytest.raises(WrongUse, match="'camera_motion' is no dimension of vbench"):
        recorded(SCHEME, [row("camera_motion", "a", 0, 0.5)], {})


def test_i2v_is_the_mean_of_its_two_groups() -> None:
    ones = dict.fromkeys(vbench_i2v.SCHEME.dimensions, 1.0) | {"motion_smoothness": 0.9975}
    assert vbench_i2v.SCHEME.value("total", ones) == pytest.approx(1.0)
    still = ones | {"camera_motion": 0.0, "dynamic_degree": 0.0}
    assert vbench_i2v.SCHEME.value("i2v_score", still) == pytest.approx(2.0 / 2.1)
    assert vbench_i2v.SCHEME.value("quality", still) == pytest.approx(5.0 / 5.5)
    assert vbench_i2v.SCHEME.value("total", still) == pytest.approx((2.0 / 2.1 + 5.0 / 5.5) / 2)
    assert vbench_i2v.SCHEME.value("i2v_score", ones | {"i2v_subject": 0.1462}) == pytest.approx(1.1 / 2.1)
    assert vbench_i2v.SCHEME.value("total", ones | {"temporal_flickering": 0.0}) == pytest.approx(1.0), "counts in no mean"
    assert vbench_i2v.SCHEME.missing("total", {}) == vbench_i2v.SCHEME.dimensions[:-1]


def test_the_camera_moves_of_an_image_are_one_sample() -> None:
    moves = ("pans left", "pans right", "tilts up", "zooms in", "static")
    made = [row("camera_motion", f"a barn, red, camera {move}", 0, float(i % 2)) for i, move in enumerate(moves)]
    made += [row("camera_motion", f"a pond, camera {move}", 0, 1.0) for move in moves]
    found = recorded(vbench_i2v.SCHEME, made, {})
    assert found["dimensions"]["camera_motion"] == pytest.approx(0.7)
    # Two images with means 0.4 and 1.0: standard error 0.3, Student's t with one degree of freedom.
    low, high = found["intervals"]["camera_motion"]
    assert (high - low) / 2 == pytest.approx(0.3 * 12.7062, rel=1e-4)
    assert vbench_i2v.image("a barn, red, camera pans left") == "a barn, red"
    assert vbench_i2v.image("a camera pans") == "a camera pans"


def test_the_rows_of_the_full_suite_are_counted_once() -> None:
    groups = ("subject_consistency", "scene", "overall_consistency", "temporal_flickering", *vbench_total.SEMANTIC)
    assert sum(vbench_total.PROMPTS[name] for name in set(groups)) == 946
