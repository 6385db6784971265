"""What a recipe is, and what it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import CODEC, GRID2, GRID8, quiet, student, teacher

from salt_bench import record
from salt_bench.errors import WrongUse
from salt_train.methods.teacher import teacher as shipped_teacher
from salt_train.objectives.dmd import DMD
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Sampling, read
from salt_train.train import train


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
    assert student().small() == replace(student(), steps=2, teacher=replace(teacher(), steps=2))
    assert student(steps=1).small().steps == 1
    assert shipped_teacher().small() == shipped_teacher()  # what ships with the package need not be trained


def test_a_recipe_survives_its_file(root: Path) -> None:
    recipe = student(DMD(guidance=2.0), SelfConsistency(own_grid=GRID2)).seeded(4)
    assert record.load(json.loads(record.text(recipe))) == recipe
    folder = train(recipe, root, quiet)
    assert read(folder / "recipe.json") == recipe


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
