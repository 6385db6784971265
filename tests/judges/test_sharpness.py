import cv2
import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.examples import gallery
from salt_bench.judges.shared.edges import edge_steepness
from salt_bench.judges.sharpness import Sharpness
from salt_bench.types import ArrayClip, Prompt


def ramp(width: int, low: int = 40, high: int = 220) -> np.ndarray:
    """Twelve dark columns, then `width` equal steps up, then twelve bright ones: uint8 (60, 24 + width - 1, 3)."""
    profile = np.interp(np.arange(23 + width), (11, 11 + width), (low, high))
    return np.repeat(np.tile(np.rint(profile).astype(np.uint8), (60, 1))[..., None], 3, axis=-1)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_an_edge_over_w_pixels_counts_one_over_w(width: int) -> None:
    assert edge_steepness(ramp(width)) == pytest.approx(1 / width, rel=0.25)


def test_brightness_and_contrast_cancel() -> None:
    assert edge_steepness(ramp(2, 40, 120)) == pytest.approx(edge_steepness(ramp(2, 80, 240)), rel=1e-6)


def test_it_falls_monotonically_with_blur() -> None:
    def mean(sigma: float) -> float:
        films = [np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in c.pixels]) for c in gallery()]
        clips = [ArrayClip(Prompt("p", "p", "w"), 0, film) for film in films]
        return float(np.mean([Sharpness()(c, Features(c))["score"] for c in clips]))

    scores = [mean(sigma) for sigma in (0.01, 0.4, 0.8, 1.6, 3.2)]
    assert scores == sorted(scores, reverse=True)
    assert scores[2] < 0.9 * scores[0]


def test_a_flat_noisy_frame_is_not_sharp() -> None:
    noisy = np.random.default_rng(0).integers(126, 130, (24, 24, 3), dtype=np.uint8)
    assert edge_steepness(noisy) < 0.25


def test_a_single_pixel_has_no_edges() -> None:
    clip = ArrayClip(Prompt("p", "p", "w"), 0, np.zeros((3, 1, 9, 3), np.uint8))
    assert Sharpness()(clip, Features(clip))["score"] is None
