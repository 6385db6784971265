"""Losses on causal networks against their formulas: every stage's, cache alignment, and gates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from causal_parts import CHUNKS, wan
from tiny import GRID2, GRID4, GRID8, Field, sources, step
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.flow import bell, clean, even, move, noised
from salt_train.objectives import cache_alignment, consistency_distillation
from salt_train.objectives.base import Step
from salt_train.objectives.cache_alignment import CacheAlignment, drift, mmd, relation
from salt_train.objectives.consistency_distillation import ConsistencyDistillation
from salt_train.objectives.dmd import DMD
from salt_train.objectives.gate import Gate
from salt_train.objectives.ode_regression import ODERegression
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.rollout import Renoise


class Watched(Field):
    """A velocity field that also tells how it was made to see."""

    def __init__(self, f: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__(f)
        self.sights: list[Causal | None] = []

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        self.sights.append(causal)
        return super().forward(x, sigma, cond)


def constant(x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
    return torch.full_like(x, 0.5)


def taken(net: Backbone, **changes: Any) -> Step:
    return step(net, shape=(2, 1, 6, 3, 3), chunks=CHUNKS, exits=(1, 1, 1), grid=GRID4, **changes)


def test_teacher_forcing_is_the_flow_loss_with_a_level_per_chunk() -> None:
    net = Watched(constant)
    made = taken(net)
    loss = TeacherForcing(weighting="bell", shift=5.0).loss(made, None)
    ((x, sigma, _, _),), (sight,) = net.calls, net.sights
    assert sight is not None
    assert sight.clean is made.truth
    assert sigma.shape == (2, 6)
    assert all(len(set(row[i : i + 2].tolist())) == 1 for row in sigma for i in (0, 2, 4))
    assert all(len(set(row.tolist())) == 3 for row in sigma)
    noise = made.normal("noise", like=made.truth)
    assert torch.allclose(x, noised(made.truth, noise, sigma))
    weight = bell(sigma, 5.0)[:, None, :, None, None]
    assert float(loss) == pytest.approx(float((weight * (0.5 - noise + made.truth) ** 2).mean()), rel=1e-5)


def test_diffusion_forcing_has_no_clean_past() -> None:
    net = Watched(constant)
    TeacherForcing(clean_past=False).loss(taken(net), None)
    assert net.sights[0] is not None
    assert net.sights[0].clean is None


def test_the_bell_is_wans() -> None:
    """Values of the published weight at shift 5, and its mean over the training grid."""
    at = torch.tensor([1000, 937.5, 833.3333, 625, 500, 250, 4.9751], dtype=torch.float64) / 1000
    assert torch.allclose(bell(at, 5.0), torch.tensor([0, 0.398, 1.025, 1.914, 2.076, 1.464, 0.032]).double(), atol=1e-2)
    u = 1 - torch.arange(1000, dtype=torch.float64) / 1000
    assert float(bell(5 * u / (1 + 4 * u), 5.0).mean()) == pytest.approx(1.0)


def curved(x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
    return torch.tanh(x)


@pytest.mark.parametrize("alike", [True, False])
def test_ode_regression_goes_where_the_teachers_ode_ends(alike: bool) -> None:
    """A causal teacher sees the true clean past and the student too, at one grid point; otherwise the teacher sees everything
    and the student the noisy past alone, at a point per chunk."""
    student, guide, path = Watched(constant), Watched(curved), even(8, 5.0)
    made = taken(student, teacher=guide)
    loss = ODERegression(path, causal=alike, guidance=1.0).loss(made, None)
    x, states = made.noise, {}
    for sigma, following in zip(path, (*path[1:], 0.0), strict=True):
        states[sigma] = x
        x = move(x, torch.tanh(x), sigma, following)
    ((seen, sigma, _, _),), (sight,) = student.calls, student.sights
    assert sight is not None
    assert {s is not None for s in guide.sights} == {alike}
    assert (sight.clean is not None) == alike
    assert all(s is not None and s.clean is made.truth for s in guide.sights if alike)
    wanted = torch.stack([states[min(path, key=lambda p: abs(p - float(s)))][:, :, f] for f, s in enumerate(sigma[0])], 2)
    assert torch.allclose(seen, wanted)
    assert len(set(sigma[0].tolist())) == 1 or not alike
    assert float(loss) == pytest.approx(float(((clean(seen, torch.full_like(seen, 0.5), sigma) - x) ** 2).mean()), rel=1e-5)


def test_grid_points_differ_between_chunks_of_a_bidirectional_regression() -> None:
    found = set()
    for seed in range(5):
        net = Watched(constant)
        ODERegression(even(8, 5.0), causal=False, guidance=1.0).loss(taken(net, teacher=Field(curved), seed=seed), None)
        found.add(len(set(net.calls[0][1][0].tolist())))
    assert max(found) > 1


def test_an_ode_path_holds_the_grid() -> None:
    with pytest.raises(ValueError, match="an ODE path holds the grid that is distilled"):
        ODERegression(even(6, 5.0)).loss(taken(Field(constant), teacher=Field(curved)), None)


def test_consistency_distillation_joins_neighbours_on_the_teachers_ode() -> None:
    student, guide, ema = Watched(constant), Watched(curved), Watched(lambda x, s, c: 0.3 * x)
    term = ConsistencyDistillation(even(8, 5.0), guidance=1.0)
    made = taken(student, teacher=guide, ema=ema)
    loss = term.loss(made, None)
    x, start = student.calls[0][0], float(student.calls[0][1][0])
    assert torch.allclose(x, noised(made.truth, made.normal("noise", like=made.truth), start))
    levels = [*term.path, 0.0]
    end = levels[min(range(8), key=lambda i: abs(levels[i] - start)) + 1]
    after = move(x, torch.tanh(x), start, end)
    assert all(s is not None and s.clean is made.truth for net in (student, guide, ema) for s in net.sights)
    wanted = ((x - start * 0.5) - (after - end * 0.3 * after)) ** 2
    assert float(loss) == pytest.approx(float(wanted.mean()), rel=1e-4)


def test_the_last_interval_ends_in_the_truth_unless_it_is_skipped() -> None:
    path = even(2, 5.0)
    for skip, wanted in ((False, {path[0], path[1]}), (True, {path[0]})):
        starts = set()
        for seed in range(12):
            net, ema = Watched(constant), Watched(constant)
            term = ConsistencyDistillation(path, guidance=1.0, skip_last=skip)
            made = taken(net, teacher=Field(curved), ema=ema, seed=seed)
            loss, x, start = term.loss(made, None), *net.calls[0][:2]
            starts.add(min(path, key=lambda p: abs(p - float(start[0]))))
            if not ema.calls:
                assert float(loss) == pytest.approx(float(((x - path[1] * 0.5 - made.truth) ** 2).mean()), rel=1e-4)
        assert starts == wanted


def test_coarse_time_takes_other_steps() -> None:
    made = [taken(Watched(constant), teacher=Field(curved), ema=Field(curved)) for _ in range(2)]
    one, other = (
        float(ConsistencyDistillation(even(48, 5.0), 1.0, coarse_time=c).loss(m, None))
        for c, m in zip((False, True), made, strict=True)
    )
    assert one != pytest.approx(other, rel=1e-6)
    assert consistency_distillation._bf16(0.9375) == 0.936


def test_relations_forgive_a_margin() -> None:
    ref = torch.eye(3)[None, None]
    assert float(relation(ref, ref, 0.0)) == 0
    assert float(relation(2 * ref, ref, 0.0)) == 0  # cosines do not know lengths
    tilted = torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1]])[None, None]
    assert float(relation(tilted, ref, 0.1)) == pytest.approx(2 * 0.5 / 9, rel=1e-5)
    assert float(relation(tilted, ref, 0.7)) == 0


def test_mmd_and_drift_are_zero_at_home_and_grow_away() -> None:
    ref = torch.from_numpy(Draws(0)("tokens").normal((2, 3, 8, 4)))
    for distance in (mmd, drift):
        near, far = (float(distance(ref + shift, ref, 0.0)) for shift in (0.1, 1.0))
        assert float(distance(ref, ref, 0.0)) == pytest.approx(0, abs=1e-6)
        assert 0 < near < far
    assert float(mmd(ref[:, :, torch.randperm(8)], ref, 0.0)) == pytest.approx(0, abs=1e-6)  # MMD does not know the order
    assert float(drift(ref.flip(2), ref, 0.0)) > 0.5


def aligned(net: Backbone, guide: Backbone, grid: tuple[float, ...], exit: int, seed: int = 0) -> Step:
    names = sources(2, seed)
    return step(
        net,
        shape=(2, 6, 6, 4, 4),
        seed=seed,
        teacher=guide,
        chunks=CHUNKS,
        grid=grid,
        exits=(exit,) * 3,
        update="sde",
        renoise=Renoise(names),
    )


TERM = CacheAlignment(((GRID2, GRID4), (GRID4, GRID8)), tap=1)


def test_alignment_speaks_where_there_is_a_denser_history() -> None:
    net, guide = wan(0), wan(1)
    assert TERM.loss(aligned(net, guide, GRID2, 0), None) is None
    assert TERM.loss(aligned(net, guide, GRID8, 3), None) is None
    for grid, exit in ((GRID2, 1), (GRID4, 2)):
        loss = TERM.loss(aligned(net, guide, grid, exit), None)
        assert loss is not None
        assert torch.isfinite(loss)


def test_a_reference_shares_noise_exit_and_captions_and_has_its_own_history() -> None:
    net = wan(0)
    made = aligned(net, wan(1), GRID2, 1)
    reference = made.reference(GRID4)
    assert [s.sigma for s in reference.stops] == [s.sigma for s in made.rollout.stops] == [GRID2[1]] * 3
    assert reference.nfe == 3 * 3
    assert not reference.video.requires_grad
    assert not torch.allclose(reference.stops[1].cache.keys[0], made.rollout.stops[1].cache.keys[0], atol=1e-4)
    same = made.reference(GRID2)
    assert torch.allclose(same.video, made.rollout.video, atol=1e-6)
    # at the shared level the first chunk is the same noise around its own x̂_0
    fresh = made.renoise(made.noise[:, :, :2], 0, GRID2[1])
    for found in (reference, made.rollout):
        x0 = (found.stops[0].x - GRID2[1] * fresh) / (1 - GRID2[1])
        assert float(x0.abs().max()) < 20


def test_the_gradient_of_alignment_reaches_the_student_through_the_frozen_teacher() -> None:
    net, guide = wan(0), wan(1).requires_grad_(False)
    for kind in cache_alignment.DISTANCES:
        loss = replace(TERM, kind=kind, margin=0.0).loss(aligned(net, guide, GRID2, 1), None)
        assert loss is not None
        gradients = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        assert sum(float(g.abs().sum()) for g in gradients if g is not None) > 0


def test_consistency_on_chunks_uses_each_chunks_frozen_cache() -> None:
    net = wan(0)
    made = aligned(net, wan(1), GRID8, 2)
    term = SelfConsistency(1.0, weighting="constant", detach="composed")
    loss = term.loss(made, None)
    total = torch.tensor(0.0)
    from salt_train.flow import draw_triplet
    from salt_train.rollout import level

    at = draw_triplet(GRID8, 2, "released", made.draws("sc end").uniform(), made.draws("sc middle").uniform())
    assert at is not None
    for stop in made.rollout.stops:
        x, v = stop.x, stop.velocity
        middle = x - (at.start - at.middle) * v
        v_m = net(middle, level(at.middle, x), made.cond, stop.cache).velocity
        total = total + (((at.middle - at.end) * (v_m - v)) ** 2).mean() / 3
    assert loss is not None
    assert float(loss) == pytest.approx(float(total), rel=1e-4)
    assert len({len(stop.cache.frames) for stop in made.rollout.stops}) == 3


def test_a_gate_opens_at_its_steps_and_updates() -> None:
    gate = Gate(SelfConsistency(1.0, weighting="constant"), points=(8,), start=5)
    net = wan(0)
    made = {(grid, index): replace(aligned(net, net, grid, 1), index=index) for grid in (GRID8, GRID4) for index in (4, 5)}
    assert {key: gate.loss(m, None) is not None for key, m in made.items()} == {
        (GRID8, 4): False,
        (GRID8, 5): True,
        (GRID4, 4): False,
        (GRID4, 5): False,
    }
    critic = Gate(DMD(), points=(4,)).critic(lambda: net)
    assert critic is net
