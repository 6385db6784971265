"""One line for whatever is in the way of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import quiet, student, teacher

from salt_bench.rng import Draws
from salt_train import checkpoint
from salt_train.checkpoint import CheckpointError
from salt_train.parallel import Share
from salt_train.recipe import Optimiser
from salt_train.steps import Steps
from salt_train.train import TrainingError, build, train


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
    with pytest.raises(CheckpointError, match=f"no checkpoint {teacher().fingerprint()} under .*; train it first"):
        train(student(), tmp_path, quiet)


def test_recipes_that_cannot_be_are_named(root: Path) -> None:
    with pytest.raises(ValueError, match="`critic` optimiser is None; give it one"):
        train(replace(student(), critic=None), root, quiet)
    with pytest.raises(ValueError, match="a batch of 2 does not divide among 3 processes"):
        Steps(student(), root)(build(student(), root), Draws(0), 0, True, share=Share(0, 3))
