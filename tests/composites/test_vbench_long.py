"""The cuts and fusings of VBench-Long, against arithmetic by hand."""

from __future__ import annotations

import pytest
from vbench_results import VIDEOCRAFTER, row

from salt_bench.composites import summary, vbench_long, vbench_total
from salt_bench.composites.vbench_long import clip, clip_seconds, fused, mapped, segments, slow_fast, table


def test_a_remainder_reaches_back_to_full_length() -> None:
    assert segments(81, 16, 2.0) == ((0, 32), (32, 64), (49, 81))
    assert segments(64, 16, 2.0) == ((0, 32), (32, 64))
    assert segments(31, 16, 2.0) == ((0, 31),)
    assert segments(32, 16, 2.0) == ((0, 32),)
    assert segments(100, 23.976, 2.0) == ((0, 46), (46, 92), (54, 100)), "rates count in whole frames"
    assert segments(81, 16, 10.0) == ((0, 81),)


def test_a_clip_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="a clip has a frame or more, got 81 frames"):
        segments(81, 0.5, 2.0)


def test_clips_are_as_long_as_the_longest_that_a_dimension_wants() -> None:
    assert clip_seconds(["subject_consistency", "dynamic_degree"]) == 2.0
    assert clip_seconds(["aesthetic_quality", "overall_consistency"]) == 10.0
    assert clip_seconds(["human_action"]) == clip_seconds(["temporal_style"]) == 10.0


def test_names_of_clips() -> None:
    assert clip("a dog-0_001") == ("a dog-0", "001")
    assert clip("a dog-0_full") == ("a dog-0", "full")
    assert clip("a dog_1-0") == ("a dog_1-0", "")


def test_mapping_is_linear_between_entries() -> None:
    curve = table("# of a test\n0.0: 0.0\n0.5: 0.2\n1.0: 1.0\n")
    assert mapped(0.25, curve) == pytest.approx(0.1)
    assert mapped(0.75, curve) == pytest.approx(0.6)
    assert mapped(1.2, curve) == 1.0
    with pytest.raises(ValueError, match="lines 'key: value'"):
        table("mean: high")


def test_a_single_clip_is_not_fused() -> None:
    assert fused(0.9, 0.5) == pytest.approx(0.7)
    assert fused(0.9, 0.0) == 0.9
    assert fused(0.9, 0.5, share=0.0) == 0.9
    curve = {0.0: 0.0, 1.0: 0.5}
    assert slow_fast([[0.9, 0.7], [0.6]], [0.8, 0.0], curve) == pytest.approx(((0.9 + 0.4) / 2 + (0.7 + 0.4) / 2 + 0.6) / 3)


def test_a_dataset_is_the_mean_over_clips_and_total_is_vbenchs() -> None:
    made = [row("temporal_style", "a", 0, 0.3, clip="000"), row("temporal_style", "a", 0, 0.1, clip="001")]
    made += [row("temporal_style", "b", 0, 0.2, clip="full")]
    found = summary.recorded(vbench_long.SCHEME, made, {})
    assert found["dimensions"]["temporal_style"] == pytest.approx(0.2)
    assert found["videos"]["temporal_style"] == 2
    assert vbench_long.SCHEME.value("total", VIDEOCRAFTER) == vbench_total.SCHEME.value("total", VIDEOCRAFTER)
