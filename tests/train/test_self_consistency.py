"""Self-consistency against closed forms: values, signs, and which branch carries the gradient."""

from __future__ import annotations

import pytest
import torch
from tiny import GRID4, GRID8, MATRIX, Field, Mixing, gradient, mixed, step, value, wan
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.flow import Triplet, draw_triplet, noised
from salt_train.objectives.base import Step
from salt_train.objectives.self_consistency import DETACH, SelfConsistency, branches
from salt_train.rollout import level

AT = Triplet(GRID8[2], GRID8[3], GRID8[5])
SHAPE = (2, 2, 2, 3, 3)


def state() -> Tensor:
    return torch.from_numpy(Draws(1)("state").normal(SHAPE)).double()


@pytest.mark.parametrize("end", [GRID8[5], 0.0])
def test_the_miss_is_the_change_of_velocity(end: float) -> None:
    """x¹ - x² = (σ_m - σ_e)(v_m - v_s), on a real network."""
    net, at, made = wan(), Triplet(GRID8[2], GRID8[3], end), step(wan())
    x, cond = made.noise, made.cond
    v_s = net(x, level(at.start, x), cond).velocity
    middle = x - (at.start - at.middle) * v_s
    v_m = net(middle, level(at.middle, x), cond).velocity
    direct, composed = branches(net, x, v_s, at, cond, None, "none")
    assert torch.allclose(direct - composed, (at.middle - end) * (v_m - v_s), atol=1e-5)
    assert float((direct - composed).detach().abs().mean()) > 1e-3
    if end == 0:  # then both are guesses of the clean video
        assert torch.allclose(direct, x - at.start * v_s, atol=1e-6)
        assert torch.allclose(composed, middle - at.middle * v_m, atol=1e-6)


@pytest.mark.parametrize("detach", DETACH)
def test_a_constant_velocity_has_nothing_to_say(detach: str) -> None:
    net = Field(lambda x, s, c: torch.full_like(x, 0.7))
    loss = SelfConsistency(detach=detach).loss(step(net, shape=SHAPE), None)
    assert value(loss) == pytest.approx(0.0, abs=1e-12)


def test_a_linear_velocity_has_a_known_loss() -> None:
    """v = A x: x¹ - x² = -(σ_s-σ_m)(σ_m-σ_e)·A²x."""
    x = state()
    direct, composed = branches(Mixing(MATRIX), x, mixed(MATRIX, x), AT, x, None, "none")
    known = -(AT.start - AT.middle) * (AT.middle - AT.end) * mixed(MATRIX @ MATRIX, x)
    assert torch.allclose(direct - composed, known)
    made = step(Mixing(MATRIX), shape=SHAPE)
    at = drawn(made)
    known = (at.start - at.middle) * (at.middle - at.end) * mixed(MATRIX @ MATRIX, made.rollout.stops[0].x)
    wanted = (1 - at.start) * known.square().mean()
    assert value(SelfConsistency().loss(made, None)) == pytest.approx(float(wanted), rel=1e-4)


def drawn(made: Step, rule: str = "released") -> Triplet:
    at = draw_triplet(made.grid, made.exit, rule, made.draws("sc end").uniform(), made.draws("sc middle").uniform())
    assert at is not None
    return at


def by_hand(live: Tensor, x: Tensor, at: Triplet, detach: str) -> Tensor:
    """mean ‖x¹ - x²‖² of v = A x, with A frozen wherever the mode lets no gradient through."""
    dead = live.detach()
    one, carried, last = {
        "none": (live, live, live),
        "composed": (live, dead, dead),
        "intermediate": (live, dead, live),
        "direct": (dead, live, live),
    }[detach]
    direct = x - (at.start - at.end) * mixed(one, x)
    middle = x - (at.start - at.middle) * mixed(carried, x)
    composed = middle - (at.middle - at.end) * mixed(last, middle)
    return ((direct - composed) ** 2).mean()


@pytest.mark.parametrize("detach", DETACH)
def test_each_detach_mode_has_its_own_gradient(detach: str) -> None:
    net, x = Mixing(MATRIX), state()
    direct, composed = branches(net, x, mixed(net.matrix, x), AT, x, None, detach)
    live = MATRIX.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(by_hand(live, x, AT, detach), [live])
    found = gradient(((direct - composed) ** 2).mean(), net)
    assert torch.allclose(found, wanted, rtol=1e-10)
    others = [torch.autograd.grad(by_hand(live, x, AT, other), [live])[0] for other in DETACH if other != detach]
    assert all(float((found - other).norm() / found.norm()) > 0.1 for other in others)


@pytest.mark.parametrize("detach", DETACH)
def test_the_term_has_the_gradient_of_its_mode_on_a_rollout(detach: str) -> None:
    """The state comes from the rollout without gradient, its velocity with one."""
    net = Mixing(MATRIX)
    made = step(net, shape=SHAPE)
    at, x = drawn(made), made.rollout.stops[0].x
    assert not x.requires_grad
    live = MATRIX.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((1 - at.start) * by_hand(live, x, at, detach), [live])
    loss = SelfConsistency(detach=detach).loss(made, None)
    assert loss is not None
    assert torch.allclose(gradient(loss, net), wanted, rtol=1e-4)


def test_no_mode_moves_the_frozen_score_of_an_untrained_step() -> None:
    """Under no_grad nothing carries a gradient, whatever the mode says."""
    net, x = Mixing(MATRIX), state()
    with torch.no_grad():
        for detach in DETACH:
            assert not any(t.requires_grad for t in branches(net, x, mixed(net.matrix, x), AT, x, None, detach))


def test_weightings_reweight_one_difference() -> None:
    made = step(Mixing(MATRIX), shape=SHAPE)
    at, x = drawn(made), made.rollout.stops[0].x
    found = {
        w: value(SelfConsistency(weighting=w).loss(made, None)) for w in ("constant", "released", "velocity", "displacement")
    }
    assert found["constant"] > 0
    assert found["released"] / found["constant"] == pytest.approx(1 - at.start, rel=1e-5)
    assert found["velocity"] / found["constant"] == pytest.approx(1 / (at.start - at.end) ** 2, rel=1e-5)
    miss = ((at.start - at.middle) * (at.middle - at.end) * mixed(MATRIX @ MATRIX, x)).square().flatten(1).mean(1)
    way = ((at.start - at.end) * mixed(MATRIX, x)).square().flatten(1).mean(1)
    assert found["displacement"] == pytest.approx(float((miss / way).mean()), rel=1e-3)


def test_the_displacement_carries_no_gradient() -> None:
    net = Mixing(MATRIX)
    made = step(net, shape=SHAPE)
    at, x = drawn(made), made.rollout.stops[0].x
    live = MATRIX.clone().requires_grad_()
    way = ((at.start - at.end) * mixed(MATRIX, x)).square().flatten(1).mean(1)
    direct = x - (at.start - at.end) * mixed(live, x)
    middle = x - (at.start - at.middle) * mixed(MATRIX, x)
    composed = middle - (at.middle - at.end) * mixed(MATRIX, middle)
    wanted = torch.autograd.grad((((direct - composed) ** 2).flatten(1).mean(1) / way).mean(), [live])[0]
    loss = SelfConsistency(weighting="displacement").loss(made, None)
    assert loss is not None
    assert torch.allclose(gradient(loss, net), wanted, rtol=1e-3)


def test_where_there_is_no_triplet_there_is_no_term() -> None:
    net = Mixing(MATRIX)
    assert SelfConsistency().loss(step(net, shape=SHAPE, exit=7), None) is None
    assert SelfConsistency(weight=0).loss(step(net, shape=SHAPE), None) is None
    assert SelfConsistency().loss(step(net, shape=SHAPE, exit=6), None) is not None


def test_the_naive_shortcut_starts_from_its_own_noised_sample() -> None:
    net, term = Mixing(MATRIX), SelfConsistency(weighting="constant", own_grid=GRID4, rule="uniform")
    said = []
    for seed in range(12):
        made = step(net, shape=SHAPE, seed=seed, draws=Draws(seed)("student", 1), exit=7)
        start = made.draws("sc start").choice(4)
        at = draw_triplet(GRID4, start, "uniform", made.draws("sc end").uniform(), made.draws("sc middle").uniform())
        loss = term.loss(made, None)
        assert (loss is None) == (at is None)
        if at is None or loss is None:
            continue
        said.append(at.start)
        x = noised(made.rollout.video.detach(), made.normal("sc noise"), at.start)
        live = MATRIX.clone().requires_grad_()
        wanted = by_hand(live, x, at, "composed")
        assert value(loss) == pytest.approx(value(wanted), rel=1e-3)
        assert torch.allclose(gradient(loss, net), torch.autograd.grad(wanted, [live])[0], rtol=1e-3)
    assert len(set(said)) == 3
    assert set(said) <= set(GRID4)


def test_switches_are_checked() -> None:
    with pytest.raises(ValueError, match="a weighting is one of released, constant, displacement, velocity, got 'none'"):
        SelfConsistency(weighting="none")
    with pytest.raises(ValueError, match="detach is one of none, composed, intermediate, direct, got 'both'"):
        SelfConsistency(detach="both")
