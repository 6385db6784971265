import time
from itertools import pairwise

import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.corruptions import corrupt
from salt_bench.judges.examples import moving_shape
from salt_bench.setjudges.diversity import Diversity
from salt_bench.setjudges.frechet import Frechet, frechet_distance, gaussian
from salt_bench.setjudges.summary import BLOCKS, scaled, summary
from salt_bench.types import ArrayClip


def points(seed: int, scale: float = 1.0, shift: float = 0.0, count: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, sum(BLOCKS)))


def test_closed_form_of_commuting_gaussians() -> None:
    """For diagonal covariances it is |m1 - m2|² + sum (s1 - s2)²."""
    s1, s2, m1, m2 = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 1.0]), np.zeros(3), np.array([1.0, -2.0, 0.0])
    wanted = 5.0 + np.square(s1 - s2).sum()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotated = [turn @ np.diag(s**2) @ turn.T for s in (s1, s2)]
    assert frechet_distance(m1, rotated[0], m2, rotated[1]) == pytest.approx(wanted)
    assert frechet_distance(m2, rotated[1], m1, rotated[0]) == pytest.approx(wanted)


def test_closed_form_of_two_by_two() -> None:
    """tr (AB)½ = sqrt(tr AB + 2 sqrt det AB) for 2 x 2 matrices, here of a pair that does not commute."""
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 4.0]])
    cross = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    assert frechet_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(np.trace(a + b) - 2 * cross)


def test_gaussian_is_mean_and_unbiased_covariance() -> None:
    mean, covariance = gaussian(np.array([[0.0, 0.0], [2.0, 4.0]]))
    np.testing.assert_allclose(mean, [1, 2])
    np.testing.assert_allclose(covariance, [[2, 4], [4, 8]])


@pytest.mark.parametrize("count", [10, 256])
def test_a_set_is_at_no_distance_from_itself(count: int) -> None:
    reference = points(0, count=count)
    assert Frechet().compare(reference, reference)["distance"] == pytest.approx(0, abs=1e-6)
    assert Diversity().compare(reference, reference)["distance"] == pytest.approx(1)


def test_a_shift_counts_as_its_square() -> None:
    """Along a principal axis of the reference a shift by one standard deviation adds that axis' share of the variance."""
    reference = points(0)
    reference[:, 0] *= 100  # one direction holds nearly all of the first part's variance, a third of the whole
    deviation = reference[:, 0].std()
    for steps in (1.0, 3.0):
        moved = reference + np.eye(sum(BLOCKS))[0] * steps * deviation
        assert Frechet().compare(moved, reference)["distance"] == pytest.approx(steps**2 / 3, rel=0.02)


def test_distance_does_not_depend_on_the_unit_of_a_part() -> None:
    sample, reference = points(1, 1.2), points(0)
    unit = np.repeat((1.0, 50.0, 0.01), BLOCKS)
    wanted = Frechet().compare(sample, reference)["distance"]
    assert Frechet().compare(sample * unit, reference * unit)["distance"] == pytest.approx(wanted)


def test_scaled_reference_has_unit_variance_in_equal_parts() -> None:
    reference = scaled(points(1), points(0, 7.0, 3.0))[1]
    edges = np.cumsum((0, *BLOCKS))
    shares = [reference[:, a:b].var(0).sum() for a, b in pairwise(edges)]
    np.testing.assert_allclose(shares, 1 / 3)


def test_a_collapsed_set_is_far_and_not_diverse() -> None:
    reference = points(0)
    again = Frechet().compare(points(1), reference)["distance"]
    average = np.repeat(reference.mean(0)[None], 256, 0)
    assert Frechet().compare(average, reference)["distance"] > 3 * again  # type: ignore[operator]
    assert Diversity().compare(average, reference)["distance"] == 0.0
    assert Diversity().compare(points(1, 0.5), reference)["distance"] == pytest.approx(0.5, rel=0.05)


def test_compare_is_fast() -> None:
    sample, reference = points(1), points(0)
    Frechet().compare(sample, reference)
    start = time.process_time()
    Frechet().compare(sample, reference)
    assert time.process_time() - start < 0.5  # measured: 0.01 s


def draw(seed: int) -> ArrayClip:
    rng = np.random.default_rng(seed)
    velocity = rng.uniform(0.6, 1.2) * np.array([(0, 1), (1, 0), (0, -1), (-1, 0)][rng.integers(4)])
    return moving_shape(
        ("square", "circle", "diamond")[rng.integers(3)],
        size=float(rng.choice([7, 11])),
        start=tuple(rng.uniform(10, 14, 2) - 5.5 * velocity),
        velocity=tuple(velocity),
        colour=((210, 60, 50), (70, 190, 80), (230, 200, 60))[rng.integers(3)],
    )


def features(clips: list[ArrayClip]) -> np.ndarray:
    return np.stack([summary(clip, Features(clip)) for clip in clips])


@pytest.fixture(scope="module")
def drawn() -> tuple[list[ArrayClip], np.ndarray, np.ndarray]:
    clips = [draw(seed) for seed in range(40)]
    return clips, features(clips), features([draw(seed) for seed in range(100, 140)])


@pytest.mark.parametrize("name", ["blur", "noise", "jitter", "freeze", "shuffle_frames", "color_flip", "hard_cut"])
def test_damage_moves_a_set_away(name: str, drawn: tuple[list[ArrayClip], np.ndarray, np.ndarray]) -> None:
    clips, clean, reference = drawn
    damaged = features([ArrayClip(c.prompt, 0, corrupt(name, c.pixels, n)) for n, c in enumerate(clips)])
    near, far = (Frechet().compare(sample, reference)["distance"] for sample in (clean, damaged))
    assert far > 1.2 * near  # type: ignore[operator]


def test_motion_numbers_have_signs_and_units() -> None:
    for velocity, part in (((0.0, 1.0), 1), ((0.0, -1.0), 1), ((1.0, 0.0), 0)):
        clip = moving_shape(size=11, start=(12 - 5.5 * velocity[0], 12 - 5.5 * velocity[1]), velocity=velocity)
        numbers = summary(clip, Features(clip))[-BLOCKS[-1] :]
        assert numbers[part] == pytest.approx(sum(velocity) * 8 / 24, rel=0.3)
        assert abs(numbers[1 - part]) < 0.05
        assert numbers[2] == pytest.approx(8 / 24, rel=0.25)
