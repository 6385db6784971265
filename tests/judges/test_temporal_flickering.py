import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.temporal_flickering import TemporalFlickering
from salt_bench.types import ArrayClip, Prompt


def score(pixels: np.ndarray) -> float | None:
    clip = ArrayClip(Prompt("p", "p", "w"), 0, pixels)
    return TemporalFlickering()(clip, Features(clip))["score"]


def test_known_answers() -> None:
    still = np.full((4, 5, 7, 3), 9, np.uint8)
    assert score(still) == 1.0
    steps = still + np.array([0, 10, 0, 10], np.uint8)[:, None, None, None]
    assert score(steps) == pytest.approx(245 / 255)
    extremes = np.stack([np.zeros((5, 7, 3), np.uint8), np.full((5, 7, 3), 255, np.uint8)])
    assert score(extremes) == 0.0


def test_one_frame_cannot_flicker() -> None:
    assert score(np.zeros((1, 4, 4, 3), np.uint8)) is None
