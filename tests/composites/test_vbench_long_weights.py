"""A dataset score of VBench-Long is the mean over clips, whatever their rows weigh elsewhere."""

from __future__ import annotations

import pytest
from vbench_results import row

from salt_bench.composites import summary, vbench_long, vbench_total


def test_clips_count_alike_and_videos_by_their_pairs() -> None:
    made = [
        row("subject_consistency", "a", 0, 0.9, video="a-0.mp4#000", weight=31.0),
        row("subject_consistency", "a", 0, 0.8, video="a-0.mp4#001", weight=31.0),
        row("subject_consistency", "b", 0, 0.1, video="b-0.mp4#full", weight=4.0),
        row("subject_consistency", "c", 0, 0.7, video="c-0.mp4#000", weight=0.0),
    ]
    long = summary.recorded(vbench_long.SCHEME, made, {})
    assert long["dimensions"]["subject_consistency"] == pytest.approx((0.9 + 0.8 + 0.1) / 3)
    assert long["benchmark"] == "vbench_long"
    short = summary.recorded(vbench_total.SCHEME, made, {})
    assert short["dimensions"]["subject_consistency"] == pytest.approx((31 * 1.7 + 0.4) / 66)
