"""One update, and many: what is trained, how fast, and what the checkpoint holds."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import GRID2, contents, quiet, student, teacher
from torch import nn

from salt_train import checkpoint
from salt_train.objectives.dmd import DMD
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Optimiser, Recipe, Sampling, checkpoints
from salt_train.stepper import Stepper, average, pace
from salt_train.steps import Steps
from salt_train.train import Networks, build, train, update


def test_seeds_make_runs(root: Path) -> None:
    one, two = (contents(train(student().seeded(seed), root, quiet)) for seed in (0, 1))
    assert one["student.safetensors"] != two["student.safetensors"]
    assert one["log.jsonl"] != two["log.jsonl"]
    again = replace(student(), sampling=Sampling(GRID2))
    assert train(again, root, quiet) == root / student().fingerprint()


def test_a_log_has_a_row_for_every_update(root: Path) -> None:
    rows = [json.loads(line) for line in contents(train(student(), root, quiet))["log.jsonl"].splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    assert all({"DMD", "critic0", "gradient"} <= row.keys() for row in rows)
    assert any("SelfConsistency" in row for row in rows)


def networks(recipe: Recipe, root: Path) -> tuple[Networks, Steps]:
    return build(recipe, root), Steps(recipe, root)


def vector(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_a_student_and_its_critic_start_from_the_teacher(root: Path) -> None:
    nets, _ = networks(student(), root)
    assert nets.teacher is not None
    assert all(torch.equal(vector(net), vector(nets.teacher)) for net in (nets.student, nets.ema, nets.critics[0]))
    assert set(nets.critics) == {0}
    assert [p.requires_grad for p in nets.teacher.parameters()] == [False] * len(list(nets.teacher.parameters()))
    other = build(replace(student(), backbone=replace(student().backbone, hidden=20)), root)
    assert vector(other.student).shape != vector(nets.teacher).shape


def test_an_update_trains_the_student_once_and_each_critic_as_often_as_asked(root: Path) -> None:
    recipe = student(DMD())
    nets, steps = networks(recipe, root)
    frozen, before = vector(nets.teacher), vector(nets.student)  # type: ignore[arg-type]
    for i in range(3):
        update(nets, recipe, steps, i)
    assert (nets.optimiser.count, nets.critic_optimisers[0].count) == (3, 6)
    assert torch.equal(vector(nets.teacher), frozen)  # type: ignore[arg-type]
    assert not torch.equal(vector(nets.student), before)
    assert not torch.equal(vector(nets.critics[0]), frozen)


def test_a_term_more_does_not_change_what_the_others_see(root: Path) -> None:
    """The rollout is computed once, and draws go by name: the first update's DMD loss is the same to the last bit."""
    rows = []
    for recipe in (student(DMD()), student(DMD(), SelfConsistency()), student(DMD(), SelfConsistency(weight=0))):
        nets, steps = networks(recipe, root)
        rows.append(update(nets, recipe, steps, 0))
    assert rows[0]["DMD"] == rows[1]["DMD"] == rows[2]["DMD"]
    assert rows[0]["critic0"] == rows[1]["critic0"]
    assert rows[0] == rows[2]


def test_the_weight_scales_a_terms_gradient(root: Path) -> None:
    norms = []
    for weight in (1.0, 3.0):
        recipe = student(DMD(weight=weight))
        nets, steps = networks(recipe, root)
        norms.append(update(nets, recipe, steps, 0)["gradient"])
    assert norms[1] == pytest.approx(3 * norms[0], rel=1e-4)


def test_an_update_without_a_word_changes_nothing(root: Path) -> None:
    recipe = student(SelfConsistency(weight=0))
    nets, steps = networks(recipe, root)
    before = vector(nets.student)
    assert update(nets, recipe, steps, 0) == {"step": 0}
    assert torch.equal(vector(nets.student), before)
    assert nets.optimiser.count == 0


def test_a_teacher_is_trained_once_for_all_its_students(tmp_path: Path) -> None:
    stages: list[float] = []
    for seed in (0, 1):
        assert student(steps=2).prepare(seed, tmp_path, lambda _, fraction: stages.append(fraction))
    assert stages == [pytest.approx((i + 1) / 6) for i in range(6)] + [0.5, 1.0] * 2
    assert not student(steps=2).prepare(1, tmp_path, quiet)
    folders = {p.parent.name for p in checkpoints(tmp_path).glob("*/recipe.json")}
    assert folders == {teacher().fingerprint(), *(student(steps=2).fingerprint(seed) for seed in (0, 1))}


def test_the_average_of_the_weights() -> None:
    """e ← e + (1 - d)(w - e) with d = min(decay, (1 + i)/(10 + i)): from the first update on, and the start is forgotten."""
    ema, net, wanted = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False), 5.0
    nn.init.constant_(ema.weight, wanted)
    for i in range(60):
        nn.init.constant_(net.weight, float(i))
        average(ema, net, 0.8, i)
        decay = min(0.8, (1 + i) / (10 + i))
        wanted = decay * wanted + (1 - decay) * i
        assert float(ema.weight.detach()) == pytest.approx(wanted, rel=1e-5)
    assert float(ema.weight.detach()) == pytest.approx(59 - 0.8 / 0.2, abs=0.01)  # what an average of this decay lags a ramp


def test_the_checkpoint_is_the_average(root: Path) -> None:
    recipe = student(DMD(), steps=2)
    nets, steps = networks(recipe, root)
    wanted = vector(nets.ema)
    for i in range(2):
        update(nets, recipe, steps, i)
        wanted = wanted + (1 - min(0.9, (1 + i) / (10 + i))) * (vector(nets.student) - wanted)
    found, _ = networks(recipe, root)
    checkpoint.fill(found.student, train(recipe, root, quiet))
    assert torch.allclose(vector(found.student), wanted, atol=1e-6)
    assert not torch.allclose(vector(found.student), vector(nets.student), atol=1e-6)


def test_the_pace_rises_stays_and_falls() -> None:
    spec = Optimiser(1.0, warmup=4, decay=0.5)
    found = [pace(i, 20, spec) for i in range(20)]
    assert found[:5] == [pytest.approx(x) for x in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert found[5:11] == [1.0] * 6
    assert found[15] == pytest.approx(0.5)
    assert found[10:] == sorted(found[10:], reverse=True)
    assert found[19] == pytest.approx(0.5 - 0.5 * math.cos(math.pi / 10))
    assert [pace(i, 20, Optimiser(1.0)) for i in range(20)] == [1.0] * 20


def test_a_stepper_clips_and_follows_its_pace() -> None:
    net = nn.Linear(2, 1, bias=False)
    nn.init.constant_(net.weight, 0.0)
    stepper = Stepper(net, Optimiser(0.1, betas=(0.0, 0.0), weight_decay=0.0, clip=0.5, warmup=1), 10)
    for rate in (0.05, 0.1):
        before = net.weight.detach().clone()
        stepper.learn((net.weight * torch.tensor([3.0, -4.0])).sum())
        assert stepper.step() == pytest.approx(5.0)
        assert torch.allclose(
            net.weight.detach() - before, torch.tensor([-rate, rate]), rtol=1e-4
        )  # Adam without memory: signs
    resumed = Stepper(net, Optimiser(0.1), 10)
    resumed.load_state_dict(stepper.state_dict())
    assert resumed.count == 2


def test_muon_takes_the_matrices_of_the_blocks_and_no_others(root: Path) -> None:
    adam, muon = build(teacher(), root).optimiser.parts
    sizes = [sum(p.numel() for group in part.param_groups for p in group["params"]) for part in (adam, muon)]
    net = build(teacher(), root).student
    matrices = sum(p.numel() for n, p in net.named_parameters() if "blocks" in n and p.ndim == 2)
    assert sizes == [sum(p.numel() for p in net.parameters()) - matrices, matrices]
    assert len(build(student(), root).optimiser.parts) == 1
