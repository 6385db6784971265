"""The formulas against the tables of the method."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
import torch

from salt_train.flow import Triplet, clean, draw_triplet, even, grid, guided, move, noised, stratified, triplets

RAW8 = (1000, 875, 750, 625, 500, 375, 250, 125)
TABLES = {  # steps → raw timesteps, σ·1000 after shift 5, σ·1000 after shift 8
    8: (
        RAW8,
        (1000, 972.22, 937.5, 892.86, 833.33, 750, 625, 416.67),
        (1000, 982.46, 960, 930.23, 888.89, 827.59, 727.27, 533.33),
    ),
    4: ((1000, 750, 500, 250), (1000, 937.5, 833.33, 625), (1000, 960, 888.89, 727.27)),
    2: ((1000, 500), (1000, 833.33), (1000, 888.89)),
    1: ((1000,), (1000,), (1000,)),
}
RELEASED = {  # start → end → middles, in raw timesteps
    1000: {750: [875], 500: [875, 750, 625]},
    875: {500: [750, 625], 250: [750, 625, 500, 375]},
    750: {500: [625], 250: [625, 500, 375]},
    625: {250: [500, 375], 0: [500, 375, 250, 125]},
    500: {250: [375], 0: [375, 250, 125]},
    375: {0: [250, 125]},
    250: {0: [125]},
    125: {},
}
FINE = grid(RAW8, 5.0)
NAMES = {sigma: raw for raw, sigma in zip((*RAW8, 0), (*FINE, 0.0), strict=True)}


def named(at: Triplet) -> tuple[int, int, int]:
    return NAMES[at.start], NAMES[at.middle], NAMES[at.end]


@pytest.mark.parametrize("steps", TABLES)
def test_grids_of_the_paper(steps: int) -> None:
    raw, five, eight = TABLES[steps]
    assert [round(1000 * s, 2) for s in grid(raw, 5.0)] == list(five)
    assert [round(1000 * s, 2) for s in grid(raw, 8.0)] == list(eight)
    assert even(steps, 5.0) == grid(raw, 5.0)
    assert even(steps, 1.0) == tuple(t / 1000 for t in raw)


def test_noise_levels_are_exact() -> None:
    """No truncated timestep: 937.5 stays 937.5."""
    for t, sigma in zip(RAW8, FINE, strict=True):
        u = Fraction(t, 1000)
        assert sigma == pytest.approx(float(5 * u / (1 + 4 * u)), abs=1e-15)


def test_coarse_grids_lie_in_fine_ones() -> None:
    sixteen = even(16, 5.0)
    assert sixteen[::2] == even(8, 5.0)
    assert sixteen[::4] == even(4, 5.0)
    assert sixteen[::8] == even(2, 5.0)
    assert sixteen == grid([1000 - 62.5 * i for i in range(16)], 5.0)


@pytest.mark.parametrize("raw", [(), (999, 500), (1000, 1000), (1000, 500, 750), (1000, 500, 0)])
def test_a_grid_that_does_not_fall_is_refused(raw: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a grid falls from 1000 and stays above 0 .*, got \(") as caught:
        grid(raw, 5.0)
    assert str(raw) in str(caught.value)


def test_guidance_4_is_the_released_extra_form_3() -> None:
    c, u = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    assert torch.equal(guided(c, u, 4.0), c + 3 * (c - u))
    assert torch.equal(guided(c, u, 4.0), torch.tensor([6.5, -7.0]))
    assert torch.equal(guided(c, u, 1.0), c)
    assert torch.equal(guided(c, u, 0.0), u)


def test_noising_and_its_inverse() -> None:
    x0, noise = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64), torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    assert torch.equal(noised(x0, noise, 0.0), x0)
    assert torch.equal(noised(x0, noise, 1.0), noise)
    assert torch.allclose(noised(x0, noise, 0.25), 0.75 * x0 + 0.25 * noise)
    for sigma in (0.1, 0.625, 1.0):
        assert torch.allclose(clean(noised(x0, noise, sigma), noise - x0, sigma), x0)


def test_a_straight_path_is_followed_exactly() -> None:
    x0, noise = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64), torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    for start, end in ((1.0, 0.0), (0.9375, 0.625), (0.2, 0.7)):
        assert torch.allclose(move(noised(x0, noise, start), noise - x0, start, end), noised(x0, noise, end))
    x, v = torch.tensor(2.0), torch.tensor(3.0)
    assert float(move(x, v, 0.75, 0.25)) == 0.5  # a positive velocity points to the noise


def test_a_noise_level_per_video() -> None:
    x0, noise = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 3, 4, 5, 6)
    sigma, end = torch.tensor([0.3, 0.8]), torch.tensor([0.1, 0.2])
    for i in range(2):
        s, e = float(sigma[i]), float(end[i])
        assert torch.allclose(noised(x0, noise, sigma)[i], noised(x0[i], noise[i], s))
        assert torch.allclose(clean(x0, noise, sigma)[i], clean(x0[i], noise[i], s))
        assert torch.allclose(move(x0, noise, sigma, end)[i], move(x0[i], noise[i], s, e), atol=1e-6)


@pytest.mark.parametrize("start", RAW8)
def test_released_triplets_and_their_probabilities(start: int) -> None:
    """Ends equally likely, then middles: the middles of twelve equal parts of [0, 1) hit each as often as they should."""
    wanted = RELEASED[start]
    listed = [named(t) for t in triplets(FINE, RAW8.index(start))]
    assert listed == [(start, m, e) for e, middles in wanted.items() for m in middles]
    twelfths = [(i + 0.5) / 12 for i in range(12)]
    drawn = [draw_triplet(FINE, RAW8.index(start), "released", a, b) for a in twelfths for b in twelfths]
    if not wanted:
        assert set(drawn) == {None}
        return
    share = {(start, m, e): 144 / len(wanted) / len(middles) for e, middles in wanted.items() for m in middles}
    assert Counter(named(t) for t in drawn if t) == share


def test_the_mean_released_weight_over_exits_is_an_eighth() -> None:
    """Which is why the paper's λ = 0.2 acts like 0.025 without a weight."""
    heard = [1 - FINE[i] for i in range(8) if triplets(FINE, i)]
    assert sum(heard) / 8 == pytest.approx(0.124, abs=5e-4)


def test_other_rules() -> None:
    assert [[named(t) for t in triplets(FINE, i, "nearest")] for i in (0, 5, 6, 7)] == [
        [(1000, 875, 750)],
        [(375, 250, 125)],
        [(250, 125, 0)],
        [],
    ]
    uniform = [named(t) for t in triplets(FINE, 5, "uniform")]
    assert uniform == [(375, 250, 125), (375, 250, 0), (375, 125, 0)]
    assert len(triplets(FINE, 0, "uniform")) == 28  # 8 choose 2
    assert draw_triplet(FINE, 7, "uniform", 0.5, 0.5) is None


def test_extreme_draws_stay_inside() -> None:
    low, high = 0.0, 1 - 2**-53
    for rule in ("released", "nearest", "uniform"):
        for start in range(7):
            known = {named(t) for t in triplets(FINE, start, rule)}
            assert {named(t) for a in (low, high) for b in (low, high) if (t := draw_triplet(FINE, start, rule, a, b))} <= known


def test_errors_say_the_value_and_the_rule() -> None:
    with pytest.raises(ValueError, match="a triplet rule is one of released, nearest, uniform, got 'nearst'"):
        triplets(FINE, 0, "nearst")
    for wrong in ((0.5, 0.5, 0.0), (0.5, 0.7, 0.0), (1.5, 0.7, 0.0), (0.9, 0.5, -0.1)):
        with pytest.raises(ValueError, match=r"a triplet falls, 1 ≥ start > middle > end ≥ 0, got ") as caught:
            Triplet(*wrong)
        assert ", ".join(map(str, wrong)) in str(caught.value)


def test_stratified_numbers_are_one_in_each_share() -> None:
    found = stratified(5, torch.tensor([0.0, 0.99, 0.5, 0.25, 0.75]))
    assert torch.allclose(found, torch.tensor([0.0, 0.398, 0.5, 0.65, 0.95]))
