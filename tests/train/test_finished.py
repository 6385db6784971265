"""A checkpoint's folder as an arm: its own weights, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file
from tiny import GRID2, quiet, student

from salt_bench.worlds.base import OfWorld
from salt_train.finished import Finished, checkpoint_arm
from salt_train.train import train


def pixels(arm: Finished, runs: Path, seed: int = 0) -> np.ndarray:
    prompts = arm.world.prompts("test")[:2]
    return np.stack([clip.frames() for clip in arm.sampler(seed, runs)(prompts, 0)])


def test_a_folder_is_run_with_its_own_weights(root: Path, tmp_path: Path) -> None:
    recipe = student().seeded(3)
    folder = train(recipe, root, quiet)
    arm = checkpoint_arm(str(folder))
    assert arm == Finished(recipe, str(folder))
    assert isinstance(arm, OfWorld)
    assert checkpoint_arm(str(root)) is None
    other = shutil.copytree(folder, tmp_path / "elsewhere")
    weights = load_file(other / "student.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, other / "student.safetensors")
    changed = checkpoint_arm(str(other))
    assert changed is not None
    runs = root.parent
    assert (pixels(arm, runs) == pixels(arm, runs, seed=9)).all(), "it was trained at its own seed"
    assert (pixels(arm, runs) != pixels(changed, runs)).any(), "the equal recipe under runs/ is not what was asked for"
    assert arm.identity(0)["recipe"] == changed.identity(0)["recipe"]
    assert arm.identity(0) != changed.identity(0)
    assert arm.evidence(0, runs) != changed.evidence(0, runs) != ""


def test_another_grid_is_another_protocol_of_the_same_checkpoint(root: Path) -> None:
    arm = checkpoint_arm(str(train(student(), root, quiet)))
    assert arm is not None
    assert arm.at(GRID2).identity(0) == arm.identity(0)
    assert arm.at(GRID2).protocol()["grid"] == list(GRID2) != arm.protocol()["grid"]
    assert not arm.prepare(0, root.parent, quiet)
