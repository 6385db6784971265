"""Drift over windows: known slopes, and clips that end otherwise than they began."""

from __future__ import annotations

import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.corruptions import corrupt
from salt_bench.judges.drift import Drift, slope
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.base import switch
from salt_bench.worlds.shapes import ShapesWorld

WORLD = ShapesWorld()
STILL = next(p for p in WORLD.prompts("test") if p.factors["motion"] == "still" and p.factors["count"] == "1")
TRUE = WORLD.render([STILL], 0, 36)[0]


def judged(pixels: np.ndarray, prompt: Prompt = STILL, fps: float = 8.0) -> dict[str, float]:
    clip = ArrayClip(prompt, 0, pixels, fps)
    return Drift()(clip, Features(clip))  # type: ignore[return-value]


def test_a_slope_is_per_second_and_falls_where_values_fall() -> None:
    assert slope([1.0, 0.5, 0.0], 1.5) == pytest.approx(-1 / 3)
    assert slope([0.2, 0.3], 0.5) == pytest.approx(0.2)
    assert slope([0.0, 1.0, 0.0, 0.0], 1.0) == pytest.approx(-0.1)  # Σ t·v / Σ t² = -0.5 / 5


def test_the_truth_does_not_drift() -> None:
    found = judged(TRUE)
    assert (found["start"], found["end"], found["slope"]) == (1.0, 1.0, 0.0)
    assert found["sharp_start"] == found["sharp_end"] > 0.3
    assert found["sharp_slope"] == pytest.approx(0, abs=1e-12)


def test_a_last_window_without_its_object_is_a_drift() -> None:
    empty = TRUE.copy()
    empty[24:] = TRUE[24:, :, :1]
    found = judged(empty)
    assert found["start"] == 1
    assert found["end"] == pytest.approx(1 / 6)  # of six attributes, the scene alone is left
    assert found["slope"] == pytest.approx((1 / 6 - 1) / 3)  # (last - first) / 2 windows of 1.5 s
    assert judged(empty, fps=16.0)["slope"] == pytest.approx(2 * found["slope"])
    assert judged(empty[::-1])["slope"] == pytest.approx(-found["slope"])
    assert judged(np.concatenate([empty[:24], TRUE[:11]]))["slope"] == 0  # no whole third window


def test_a_growing_blur_is_a_drift_of_sharpness() -> None:
    found = judged(corrupt("defocus", TRUE))
    assert found["sharp_start"] > 1.5 * found["sharp_end"]
    assert found["sharp_slope"] < -0.02


def test_a_motion_is_no_attribute_of_a_long_clip() -> None:
    moving = next(p for p in WORLD.prompts("test") if p.factors["motion"] == "left")
    assert judged(WORLD.render([moving], 0, 36)[0], moving)["end"] == 1


def test_refusals_say_why() -> None:
    with pytest.raises(ValueError, match="two windows of 12 frames, and the clip has 23 frames"):
        judged(TRUE[:23])
    other = next(p for p in WORLD.prompts("test") if p.factors["scene"] != STILL.factors["scene"])
    with pytest.raises(ValueError, match=r"changes at frame 12.*use prompt_switch"):
        judged(TRUE, switch(STILL, other, 12))
