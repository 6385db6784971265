import numpy as np
import pytest

from salt_bench.judges.corruptions import CORRUPTIONS, corrupt
from salt_bench.judges.examples import moving_shape
from salt_bench.judges.shared.subject import split


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_a_seeded_function_of_the_clip(name: str) -> None:
    clean = moving_shape().pixels
    before = clean.copy()
    first = corrupt(name, clean, seed=3)
    assert first.shape == clean.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, corrupt(name, clean, seed=3))
    np.testing.assert_array_equal(clean, before)
    assert (first != clean).any()


@pytest.mark.parametrize("name", ["flicker", "jitter", "noise", "shuffle_frames", "background_drift"])
def test_another_seed_is_another_damage(name: str) -> None:
    clean = moving_shape().pixels
    assert (corrupt(name, clean, 1) != corrupt(name, clean, 2)).any()


def test_flips_and_drifts_touch_what_they_name() -> None:
    clean = moving_shape().pixels
    mask = split(clean).mask
    flipped = (corrupt("color_flip", clean) != clean).any(-1)
    np.testing.assert_array_equal(flipped, mask & (np.arange(12) >= 6)[:, None, None])
    drifted = (corrupt("background_drift", clean) != clean).any(-1)
    np.testing.assert_array_equal(drifted[-1], ~mask[-1])
    assert not drifted[0].any()


def test_an_unknown_name_offers_the_near_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'flicker'"):
        corrupt("flickr", moving_shape().pixels)
