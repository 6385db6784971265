"""Repetition and freezing: clips whose copies and still frames are known."""

from __future__ import annotations

import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.repetition import Repetition, copies
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.shapes import ShapesWorld

WORLD = ShapesWorld()
MOVING = next(p for p in WORLD.prompts("test") if p.factors["motion"] == "right" and p.factors["size"] == "big")
TRUE = WORLD.render([MOVING], 0, 36)[0]


def judged(pixels: np.ndarray, prompt: Prompt = MOVING, fps: float = 8.0) -> dict[str, float]:
    clip = ArrayClip(prompt, 0, pixels, fps)
    return Repetition()(clip, Features(clip))  # type: ignore[return-value]


def test_what_goes_on_moving_neither_freezes_nor_repeats() -> None:
    assert judged(TRUE) == {"frozen": 0.0, "repeated": 0.0}


def test_frames_that_stand_still_are_counted_and_are_no_copies() -> None:
    held = TRUE[np.minimum(np.arange(36), 12)]
    assert judged(held) == {"frozen": 22 / 34, "repeated": 0.0}  # frames 14 … 35 are like both before them
    assert judged(TRUE[:1].repeat(36, 0)) == {"frozen": 1.0, "repeated": 0.0}


def test_a_loop_is_a_copy_from_its_second_round_on() -> None:
    assert judged(TRUE[np.arange(36) % 12]) == {"frozen": 0.0, "repeated": 9 / 13}  # of stretches 8 … 20, those from 12 on
    found = copies(TRUE[np.arange(40) % 10], 4)
    assert np.array_equal(found, np.arange(33) >= 10)
    assert not copies(TRUE[np.arange(40) % 10], 11)[:20].any()  # a lag of 20 is the first that is long enough


def test_the_same_way_back_is_no_copy() -> None:
    assert judged(np.concatenate([TRUE[:12], TRUE[11::-1]]))["repeated"] == 0


def test_a_stretch_is_so_many_seconds() -> None:
    assert judged(TRUE[np.arange(36) % 12], fps=4.0)["repeated"] == 17 / 25  # stretches of 8 frames: 4 … 28, from 12 on


def test_what_should_stand_still_has_no_say_and_short_clips_are_refused() -> None:
    still = next(p for p in WORLD.prompts("test") if p.factors["motion"] == "still")
    assert judged(TRUE, still) == {}
    with pytest.raises(ValueError, match="24 frames or more, and the clip has 23"):
        judged(TRUE[:23])
