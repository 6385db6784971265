"""From a recipe to a checkpoint: the same bytes however often a run is stopped, and one line for whatever is in the way."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import CODEC, GRID2, GRID8, quiet, student, teacher
from torch import nn

from salt_bench import files, record
from salt_bench.errors import UserError, WrongUse
from salt_bench.types import Log
from salt_train import checkpoint
from salt_train import train as training
from salt_train.checkpoint import CheckpointError
from salt_train.objectives.dmd import DMD
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Optimiser, Recipe, Sampling, checkpoint_arm, checkpoints, read
from salt_train.train import Networks, Stepper, Steps, TrainingError, average, build, pace, train, update


class Stopped(Exception):
    """What the tests interrupt a run with."""


def stop_after(updates: int, total: int) -> Log:
    def log(stage: str, fraction: float) -> None:
        if round(fraction * total) == updates:
            raise Stopped

    return log


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume file at every second update."""
    monkeypatch.setattr(training, "SAVE_EVERY", 2)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that holds the teacher."""
    root = tmp_path_factory.mktemp("taught")
    train(teacher(), root, quiet)
    return root


@pytest.fixture
def root(taught: Path, tmp_path: Path) -> Path:
    """An own folder of checkpoints with the teacher in it."""
    found, name = tmp_path / "checkpoints", teacher().fingerprint()
    for path in (taught / name).iterdir():
        files.write_bytes(found / name / path.name, path.read_bytes())
    for path in taught.glob("codec-*"):
        files.write_bytes(found / path.name, path.read_bytes())
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


# --- the same bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("make", [teacher, student], ids=["teacher", "student"])
def test_a_run_stopped_at_every_update_ends_in_the_same_bytes(make: Callable[[], Recipe], root: Path, tmp_path: Path) -> None:
    recipe = replace(make(), seed=3)
    calm = contents(train(recipe, root, quiet))
    assert set(calm) == {"student.safetensors", "log.jsonl", "recipe.json"}
    wild = root.rename(tmp_path / "wild")
    folder = wild / recipe.fingerprint()
    for path in folder.iterdir():
        path.unlink()
    for n in range(1, recipe.steps + 1):
        with pytest.raises(Stopped):
            train(recipe, wild, stop_after(n, recipe.steps))
    assert set(contents(folder)) == {"resume.pt"}
    assert contents(train(recipe, wild, quiet)) == calm


@pytest.mark.usefixtures("often")
def test_a_resumed_run_does_not_start_again(root: Path) -> None:
    with pytest.raises(Stopped):
        train(student(), root, stop_after(5, 6))
    done: list[float] = []
    train(student(), root, lambda _, fraction: done.append(fraction))
    assert done == [pytest.approx(5 / 6), 1.0]


def test_seeds_make_runs(root: Path) -> None:
    one, two = (contents(train(student().seeded(seed), root, quiet)) for seed in (0, 1))
    assert one["student.safetensors"] != two["student.safetensors"]
    assert one["log.jsonl"] != two["log.jsonl"]
    again = replace(student(), sampling=Sampling(GRID2))
    assert train(again, root, quiet) == root / student().fingerprint()


@pytest.mark.usefixtures("often")
def test_a_damaged_resume_file_is_set_aside(root: Path) -> None:
    calm = contents(train(student(), root, quiet))
    folder = root / student().fingerprint()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(Stopped):
        train(student(), root, stop_after(5, 6))
    whole = (folder / "resume.pt").read_bytes()
    files.write_bytes(folder / "resume.pt", whole[: len(whole) // 2])
    train(student(), root, quiet)
    assert (folder / "resume.damaged").read_bytes() == whole[: len(whole) // 2]
    (folder / "resume.damaged").unlink()
    assert contents(folder) == calm


def test_a_kill_between_the_last_two_writes_leaves_nothing_behind(root: Path) -> None:
    folder = train(student(), root, quiet)
    calm = contents(folder)
    checkpoint.pause(folder, {})
    assert not student().prepare(0, root.parent, quiet)
    assert contents(folder) == calm


def test_a_log_has_a_row_for_every_update(root: Path) -> None:
    rows = [json.loads(line) for line in contents(train(student(), root, quiet))["log.jsonl"].splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    assert all({"DMD", "critic0", "gradient"} <= row.keys() for row in rows)
    assert any("SelfConsistency" in row for row in rows)


# --- the loop -------------------------------------------------------------------------------------------------------------


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
        update(nets, recipe, steps, i, 0, 1)
    assert (nets.optimiser.count, nets.critic_optimisers[0].count) == (3, 6)
    assert torch.equal(vector(nets.teacher), frozen)  # type: ignore[arg-type]
    assert not torch.equal(vector(nets.student), before)
    assert not torch.equal(vector(nets.critics[0]), frozen)


def test_a_term_more_does_not_change_what_the_others_see(root: Path) -> None:
    """The rollout is computed once, and draws go by name: the first update's DMD loss is the same to the last bit."""
    rows = []
    for recipe in (student(DMD()), student(DMD(), SelfConsistency()), student(DMD(), SelfConsistency(weight=0))):
        nets, steps = networks(recipe, root)
        rows.append(update(nets, recipe, steps, 0, 0, 1))
    assert rows[0]["DMD"] == rows[1]["DMD"] == rows[2]["DMD"]
    assert rows[0]["critic0"] == rows[1]["critic0"]
    assert rows[0] == rows[2]


def test_the_weight_scales_a_terms_gradient(root: Path) -> None:
    norms = []
    for weight in (1.0, 3.0):
        recipe = student(DMD(weight=weight))
        nets, steps = networks(recipe, root)
        norms.append(update(nets, recipe, steps, 0, 0, 1)["gradient"])
    assert norms[1] == pytest.approx(3 * norms[0], rel=1e-4)


def test_an_update_without_a_word_changes_nothing(root: Path) -> None:
    recipe = student(SelfConsistency(weight=0))
    nets, steps = networks(recipe, root)
    before = vector(nets.student)
    assert update(nets, recipe, steps, 0, 0, 1) == {"step": 0}
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
        update(nets, recipe, steps, i, 0, 1)
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
        assert stepper.step((net.weight * torch.tensor([3.0, -4.0])).sum(), 1) == pytest.approx(5.0)
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


# --- what is in the way ---------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_the_update_and_the_remedy(root: Path) -> None:
    wild = Optimiser(rate=1e30, betas=(0.0, 0.99))
    with pytest.raises(TrainingError, match=r"the loss of .* became (nan|inf) at update \d; lower the rate") as caught:
        train(replace(student(), optimiser=wild), root, quiet)
    assert caught.value.code == 5
    with pytest.raises(TrainingError, match="the critic of DMD"):
        train(replace(student(), critic=wild), root, quiet)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            "is truncated or damaged .*; delete its folder and train again",
        ),
        (lambda path: path.write_bytes(b"{}"), "is truncated or damaged"),
        (lambda path: path.unlink(), "student.safetensors is missing; train it, or name the right folder"),
        (lambda path: path.write_bytes(checkpoint.save({"x": torch.ones(1)})), r"does not fit its recipe .*; delete it"),
    ],
    ids=["cut", "junk", "gone", "foreign"],
)
def test_a_damaged_checkpoint_is_said_in_one_line(harm: Callable[[Path], object], message: str, root: Path) -> None:
    harm(root / teacher().fingerprint() / "student.safetensors")
    for ask in (lambda: teacher().sampler(0, root.parent), lambda: train(student(), root, quiet)):
        with pytest.raises(CheckpointError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert caught.value.code == 5


def test_a_student_needs_its_teacher(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"the teacher {teacher().fingerprint()} is not under .*; train it first"):
        train(student(), tmp_path, quiet)


def test_recipes_that_cannot_be_are_named(root: Path) -> None:
    with pytest.raises(ValueError, match="`critic` optimiser is None; give it one"):
        train(replace(student(), critic=None), root, quiet)
    nets, steps = networks(student(), root)
    with pytest.raises(ValueError, match="a batch of 2 does not divide among 3 processes"):
        update(nets, student(), steps, 0, 0, 3)


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "disk full while writing .*: free space"), (errno.EROFS, "read-only file system")]
)
@pytest.mark.usefixtures("often")
def test_a_full_or_closed_disk_is_said_and_the_same_call_goes_on(
    code: int, message: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UserError, match=message):
            train(student(), root, quiet)
    assert not any((root / student().fingerprint()).iterdir())
    assert checkpoint.finished(train(student(), root, quiet))


# --- recipes --------------------------------------------------------------------------------------------------------------


def test_the_identity_is_all_that_training_depends_on() -> None:
    base = student()
    assert base.at(GRID2).fingerprint() == base.fingerprint()
    assert base.at(GRID2).sampling.grid == GRID2
    assert replace(base, sampling=Sampling(GRID8, "sde", 3.0)).fingerprint() == base.fingerprint()
    assert replace(base, teacher=teacher().at(GRID2)).fingerprint() == base.fingerprint()
    assert base.identity(0) == base.seeded(0).identity(0)
    changes: tuple[dict[str, object], ...] = (
        {"steps": 7},
        {"seed": 1},
        {"grid": GRID2},
        {"update": "sde"},
        {"ema": 0.5},
        {"objectives": (DMD(), SelfConsistency(0.3))},
        {"codec": replace(CODEC, channels=7)},
        {"teacher": teacher(7)},
        {"critic_updates": 3},
    )
    names = [base.fingerprint(), *(replace(base, **change).fingerprint() for change in changes)]  # type: ignore[arg-type]
    assert len(set(names)) == len(names)
    assert base.fingerprint(1) == base.seeded(1).fingerprint()
    assert base.seeded(1).teacher == base.teacher


def test_a_small_recipe_is_the_same_but_for_its_length() -> None:
    assert student().small() == replace(student(), steps=4)
    assert student(steps=3).small() == student(steps=3)


def test_a_recipe_survives_its_file(root: Path) -> None:
    recipe = student(DMD(guidance=2.0), SelfConsistency(own_grid=GRID2)).seeded(4)
    assert record.load(json.loads(record.text(recipe))) == recipe
    folder = train(recipe, root, quiet)
    assert read(folder / "recipe.json") == recipe
    assert checkpoint_arm(str(folder)) == recipe
    assert checkpoint_arm(str(root)) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no recipe of this version"),
        ('{"type": "os:system"}', "may only name classes of salt_bench and salt_train"),
        ('{"type": "salt_train.recipe:Recipe"}', "missing 8 required"),
        ('{"type": "salt_train.objectives.dmd:DMD"}', "holds a DMD, not a recipe"),
        ('{"type": "salt_train.objectives.dmd:DMD", "wait": 1}', "has no field wait"),
    ],
)
def test_a_file_that_is_no_recipe_is_wrong_use(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(WrongUse, match=message):
        read(tmp_path / "recipe.json")
    with pytest.raises(WrongUse, match="No such file"):
        read(tmp_path / "none.json")


def test_evidence_is_the_weights(root: Path) -> None:
    recipe = student()
    assert recipe.evidence(0, root.parent) == ""
    folder = train(recipe, root, quiet)
    found = recipe.evidence(0, root.parent)
    assert len(found) == 12
    path = folder / "student.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    assert recipe.evidence(0, root.parent) != found
