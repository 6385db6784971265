"""The same recipe gives the same bytes in any process, and the same weights however many processes share its batches."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

from tiny import quiet, student, teacher

from salt_bench import record
from salt_bench.rng import Draws
from salt_train import checkpoint
from salt_train.recipe import Recipe, checkpoints
from salt_train.train import Networks, Steps, average, build

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
SHARED = replace(student(steps=45), batch=4)  # a resume file every 20 updates


def start(folder: Path, recipe: Recipe, *more: str) -> subprocess.Popen[str]:
    """salt-train run on `recipe` in a fresh process."""
    (folder / "recipe.json").write_text(record.text(recipe))
    command = [sys.executable, "-c", "from salt_train.cli import main; main()", "run", "recipe.json", *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def salt(folder: Path, recipe: Recipe, *more: str) -> Path:
    """Trains to the end; the checkpoint's folder."""
    run = start(folder, recipe, *more)
    output, _ = run.communicate(timeout=3600)
    assert run.returncode == 0, output
    return checkpoints(folder / "runs") / recipe.fingerprint()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(salt(tmp_path / name, student(steps=25)))
    one, two = (contents(folder) for folder in found)
    assert one == two
    shared = [contents(folder.parent / teacher().fingerprint()) for folder in found]
    assert shared[0] == shared[1]


def shared_by_hand(recipe: Recipe, root: Path, ranks: int) -> nn.Module:
    """What `ranks` processes do, in one: the gradient of the mean of their losses, each on its own share of the batch."""
    nets, steps = build(recipe, root), Steps(recipe, root)
    for i in range(recipe.steps):
        for n in range(recipe.critic_updates):
            mean_step(nets, recipe, steps, ranks, i, n)
        mean_step(nets, recipe, steps, ranks, i, None)
        average(nets.ema, nets.student, recipe.ema, i)
    return nets.ema


def mean_step(nets: Networks, recipe: Recipe, steps: Steps, ranks: int, i: int, n: int | None) -> None:
    draws = Draws(recipe.seed)("student", i) if n is None else Draws(recipe.seed)("critic", i, n)
    parts = [steps(nets, draws, i, rank, ranks, grad=n is None) for rank in range(ranks)]
    if n is not None:
        losses = [recipe.objectives[0].critic_loss(part, nets.critics[0]) for part in parts]
        nets.critic_optimisers[0].step(torch.stack(losses).mean(), 1)
        return
    losses = []
    for part in parts:
        terms = [(o, o.loss(part, nets.critics.get(k))) for k, o in enumerate(recipe.objectives)]
        losses += [o.weight * loss for o, loss in terms if loss is not None]
    nets.optimiser.step(torch.stack(losses).sum() / ranks, 1)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of checkpoints in which two processes trained SHARED undisturbed."""
    return salt(tmp_path_factory.mktemp("calm"), SHARED, "--processes", "2").parent


def test_two_processes_share_a_batch(calm: Path) -> None:
    """Weights agree with one process that does both shares, to the rounding of sums in another order."""
    wanted = shared_by_hand(SHARED, calm, 2)
    found, start = build(SHARED, calm).student, build(SHARED, calm).student
    checkpoint.fill(found, calm / SHARED.fingerprint())
    way, miss = distance(found, start), distance(found, wanted)
    print(f"\nmoved {way:.3g}, apart {miss:.3g}")
    assert miss < 1e-3 * way


def distance(one: nn.Module, two: nn.Module) -> float:
    gaps = [(a - b).detach().flatten() for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    return float(torch.cat(gaps).norm())


def test_processes_that_are_killed_go_on_to_the_same_bytes(calm: Path, tmp_path: Path) -> None:
    teacher().prepare(0, tmp_path / "runs", quiet)
    folder = checkpoints(tmp_path / "runs") / SHARED.fingerprint()
    run = start(tmp_path, SHARED, "--processes", "2")
    while not (folder / "resume.pt").is_file():
        assert run.poll() is None
        time.sleep(0.01)
    for process in [*psutil.Process(run.pid).children(recursive=True), run]:  # torchrun's workers lead groups of their own
        process.kill()
    run.communicate()
    assert not checkpoint.finished(folder)
    assert contents(salt(tmp_path, SHARED, "--processes", "2")) == contents(calm / SHARED.fingerprint())
