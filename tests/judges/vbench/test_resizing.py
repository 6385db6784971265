"""Sizes, crops, interpolation and pixel scales."""

import numpy as np
import pytest
import torch

from salt_bench.judges.vbench.resizing import CLIP, IMAGENET, centre, floats, normalised, portions, resize, short


def test_the_shorter_side_takes_the_size_and_the_longer_one_is_cut() -> None:
    assert short((480, 833), 224) == (224, 388)  # 388.73: not rounded
    assert short((833, 480), 224) == (388, 224)
    assert short((224, 300), 224) == (224, 300)


@pytest.mark.parametrize(("length", "first"), [(6, 2), (5, 2), (3, 0), (4, 1), (2, 0)])
def test_the_middle_of_a_row(length: int, first: int) -> None:
    """Halves go to the even number: 1.5 to 2 and 0.5 to 0."""
    rows = torch.arange(float(length))[None, :, None].expand(1, length, 2)
    assert centre(rows, 2)[0, :, 0].tolist() == [first, first + 1]
    assert centre(rows.transpose(1, 2), 2)[0, 0].tolist() == [first, first + 1]


def test_what_is_too_small_for_a_crop_is_filled_up_below_and_to_the_right() -> None:
    assert centre(torch.ones(1, 3, 4), 4).sum((0, 2)).tolist() == [4, 4, 4, 0]


def test_a_shrunk_picture_is_sampled_and_not_averaged() -> None:
    """8 to 2: the centres lie between pixels 1 and 2, and 5 and 6. Antialiasing would see pixel 0, align_corners take it."""
    row = torch.tensor([99.0, 1, 3, 99, 99, 5, 9, 99])[None, None, None].expand(1, 1, 8, 8)
    assert resize(row, (8, 2), "bilinear")[0, 0, 0].tolist() == [2, 7]


def test_the_cubic_overshoots_as_pytorch_s_does() -> None:
    """An edge, doubled: 1.25 pixels away counts -27 / 256, where a is -0.75. Pillow's a, -0.5, would make it -18 / 256."""
    edge = torch.tensor([0.0, 0, 0, 256, 256, 256])[None, None, None].expand(1, 1, 6, 6)
    assert resize(edge, (12, 12), "bicubic")[0, 0, 0].tolist() == [0, 0, 0, -9, -27, 58, 198, 283, 265, 256, 256, 256]


def test_pixels_are_scaled_channel_by_channel() -> None:
    for mean, deviation in (IMAGENET, CLIP):
        x = torch.tensor(mean)[None, :, None, None] + 2 * torch.tensor(deviation)[None, :, None, None]
        torch.testing.assert_close(normalised(x, (mean, deviation)), torch.full((1, 3, 1, 1), 2.0))
    assert IMAGENET[0][0] > IMAGENET[0][2]  # red first
    assert CLIP[0][0] > CLIP[0][2]


def test_frames_become_floats_with_their_channels_first() -> None:
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    x = floats(frames)
    assert x.shape == (2, 3, 3, 4)
    assert x[1, 2, 0, 3] == frames[1, 0, 3, 2]


def test_portions_are_bounded_and_whole() -> None:
    parts = list(portions(np.arange(70), "cuda"))
    assert [len(part) for part in parts] == [32, 32, 6]
    assert np.concatenate(parts).tolist() == list(range(70))
    assert [len(part) for part in portions(np.arange(7), "cpu")] == [4, 3]
    assert not list(portions(np.arange(0), "cpu"))
