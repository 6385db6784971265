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
from salt_train import checkpoint
from salt_train.recipe import Recipe, checkpoints
from salt_train.train import build

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


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of checkpoints in which two processes trained SHARED undisturbed."""
    return salt(tmp_path_factory.mktemp("calm"), SHARED, "--processes", "2").parent


def test_two_processes_share_a_batch(calm: Path, tmp_path: Path) -> None:
    """Weights agree with those of one process, to the rounding of sums in another order."""
    wanted, found, start = (build(SHARED, calm).student for _ in range(3))
    checkpoint.fill(found, calm / SHARED.fingerprint())
    checkpoint.fill(wanted, salt(tmp_path, SHARED))
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
    while not (folder / "resume-000020").is_dir():
        assert run.poll() is None
        time.sleep(0.01)
    for process in [*psutil.Process(run.pid).children(recursive=True), run]:  # torchrun's workers lead groups of their own
        process.kill()
    run.communicate()
    assert not checkpoint.finished(folder)
    assert contents(salt(tmp_path, SHARED, "--processes", "2")) == contents(calm / SHARED.fingerprint())
