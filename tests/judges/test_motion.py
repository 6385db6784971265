"""Flow and the two judges that read it, against clips whose speed is known."""

import cv2
import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.corruptions import corrupt
from salt_bench.judges.dynamic_degree import DynamicDegree
from salt_bench.judges.examples import moving_shape
from salt_bench.judges.motion_smoothness import MotionSmoothness, _guess, _triplets
from salt_bench.judges.shared.motion import Motion, motion
from salt_bench.types import ArrayClip, Prompt


def of(pixels: np.ndarray, fps: float = 8.0) -> ArrayClip:
    return ArrayClip(Prompt("p", "p", "w"), 0, pixels, fps)


@pytest.mark.parametrize("shape", ["square", "circle"])
@pytest.mark.parametrize("size", [7, 12])
@pytest.mark.parametrize("speed", [0.0, 0.5, 1.0, 1.5])
def test_speed_is_read_in_short_sides_per_second(shape: str, size: int, speed: float) -> None:
    clip = moving_shape(shape, size=size, start=(12, 6), velocity=(0, speed), frames=9)
    read = DynamicDegree()(clip, Features(clip))["magnitude"]
    assert read == pytest.approx(speed / 24 * 8, rel=0.35, abs=0.002)  # on average it is 6% low


def test_speed_does_not_depend_on_the_size_of_the_picture() -> None:
    small = moving_shape(velocity=(0, 1.0), side=24)
    large = moving_shape(velocity=(0, 3.0), side=72, size=27, start=(21, 24))
    reads = [DynamicDegree()(clip, Features(clip))["magnitude"] for clip in (small, large)]
    assert reads[0] == pytest.approx(reads[1], rel=0.15)


def test_the_threshold_is_on_time_not_on_frames() -> None:
    slow = moving_shape(velocity=(0, 0.35)).pixels  # 0.35 px per frame: 0.12 short sides a second at 8 fps, 0.35 at 24
    assert DynamicDegree()(of(slow), Features(of(slow)))["dynamic"] == 0.0
    assert DynamicDegree()(of(slow, 24.0), Features(of(slow, 24.0)))["dynamic"] == 1.0


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, -1), (1, 2)])
def test_flow_points_where_things_go(dy: int, dx: int) -> None:
    """A textured picture (a flat object shows its motion at its edges only) that moves as a whole."""
    texture = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (80, 80, 3)).astype(np.float32), (0, 0), 2.0)
    texture = ((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)
    film = np.stack([texture[20 - t * dy : 60 - t * dy, 20 - t * dx : 60 - t * dx] for t in range(3)])
    seen = motion(Features(of(film)))
    assert seen is not None
    np.testing.assert_allclose(np.median(seen.forward[0], (0, 1)), (2 * dx, 2 * dy), atol=0.2)
    np.testing.assert_allclose(np.median(seen.backward[0], (0, 1)), (-2 * dx, -2 * dy), atol=0.2)


def test_a_flickering_still_is_still() -> None:
    clip = of(corrupt("flicker", moving_shape(velocity=(0, 0)).pixels))
    assert DynamicDegree()(clip, Features(clip))["dynamic"] == 0.0


def test_a_static_clip_is_perfectly_smooth() -> None:
    clip = moving_shape(velocity=(0, 0))
    assert MotionSmoothness()(clip, Features(clip)) == {"score": 1.0, "moving": 1.0}


def test_the_guess_lies_halfway_along_the_flow() -> None:
    film = np.zeros((3, 40, 40, 3), np.uint8)
    film[0, 10:20, 8:18], film[1, 10:20, 11:21], film[2, 10:20, 14:24] = 200, 200, 200
    right = np.broadcast_to(np.float32([6, 0]), (1, 40, 40, 2))
    np.testing.assert_array_equal(_guess(Motion(film, right, -right))[0], film[1])
    assert (_guess(Motion(film, -right, right))[0] != film[1]).any()


def test_triplets_leave_out_a_frame_behind_the_last_pair() -> None:
    for frames, pairs in ((3, 1), (4, 1), (5, 2), (12, 5)):
        film = np.arange(frames, dtype=np.uint8)[:, None, None, None]
        left, true, right = (part[:, 0, 0, 0] for part in _triplets(film))
        assert len(true) == pairs
        np.testing.assert_array_equal([left + 1, right - 1], [true, true])


@pytest.mark.parametrize("name", ["jitter", "stutter", "shuffle_frames"])
def test_moving_pixels_suffer_more_than_the_whole_picture(name: str) -> None:
    clean = moving_shape()
    bad = of(corrupt(name, clean.pixels))
    before, after = (MotionSmoothness()(clip, Features(clip)) for clip in (clean, bad))
    assert before["moving"] - after["moving"] > 2 * (before["score"] - after["score"]) > 0  # type: ignore[operator]


@pytest.mark.parametrize("judge", [DynamicDegree(), MotionSmoothness()], ids=lambda judge: judge.name)
def test_two_frames_are_too_few(judge: DynamicDegree | MotionSmoothness) -> None:
    clip = of(np.zeros((2, 24, 24, 3), np.uint8))
    assert set(judge(clip, Features(clip)).values()) == {None}


def test_odd_sizes_are_welcome() -> None:
    clip = of(np.random.default_rng(0).integers(0, 256, (5, 17, 300, 3), dtype=np.uint8))
    assert MotionSmoothness()(clip, Features(clip))["score"] < 1  # type: ignore[operator]


def test_grey_clips_are_refused_with_a_remedy() -> None:
    clip = of(np.zeros((5, 24, 24, 1), np.uint8))
    with pytest.raises(ValueError, match="repeat a grey channel"):
        motion(Features(clip))
