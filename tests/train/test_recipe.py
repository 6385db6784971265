"""What a recipe is, and what it is not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import CODEC, GRID2, GRID8, quiet, student, teacher

from salt_bench import record
from salt_bench.errors import WrongUse
from salt_bench.worlds.shapes import ShapesWorld
from salt_train import methods
from salt_train.backbones.wan import WanSpec
from salt_train.caches.full import Full
from salt_train.methods.teacher import teacher as shipped_teacher
from salt_train.objectives.dmd import DMD
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Optimiser, Sampling, Stream, read
from salt_train.rollout import Chunks
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


def leaves(data: Any, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value in JSON data that is no container, and where it is."""
    if not isinstance(data, (dict, list)):
        yield path, data
        return
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        if key != "type":
            yield from leaves(value, *path, key)


ANY_SIGN = {"seed", "weight", "guidance"}


@pytest.mark.parametrize("method", ["salt_self_forcing", "salt_longlive", "causal_forcing"])
@pytest.mark.parametrize("setup", ["shapes", "wan21"])
def test_no_field_takes_a_value_of_another_type_or_beyond_its_range(method: str, setup: str, tmp_path: Path) -> None:
    whole, path, taken = json.loads(record.text(methods.method(method)(setup=setup))), tmp_path / "recipe.json", []
    for at, value in leaves(whole):
        if at[0] in ("teacher", "init", "critic_init"):  # recipes too
            continue
        wrong: list[Any] = [{}, [[]], *([] if isinstance(value, str) else ["ten", math.nan, math.inf])]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        for bad in wrong + ([-1] if number and at[-1] not in ANY_SIGN else []):
            inside = edited = json.loads(json.dumps(whole))
            for key in at[:-1]:
                inside = inside[key]
            inside[at[-1]] = bad
            path.write_text(json.dumps(edited))
            with suppress(WrongUse):
                read(path)
                taken.append((at, bad))
    assert taken == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "`steps` is 0 or more, got -1"),
        ({"batch": 0}, "`batch` is 1 or more, got 0"),
        ({"ema": 1.5}, "`ema` is a share, from 0 to 1, got 1.5"),
        ({"ema": math.nan}, "`ema` is a share"),
        ({"update": "heun"}, 'an update is "ode" or "sde", got \'heun\''),
        ({"grid": (1.0, 0.5, 0.7)}, "a grid falls from 1"),
        ({"grid": (0.9, 0.5)}, "a grid falls from 1"),
        ({"grid": (1.0, math.nan)}, "a grid falls from 1"),
        ({"mixed": ((GRID2, 1.5), (GRID8, -0.5))}, "are 0 or more and sum to 1"),
        ({"frames": (6, 2)}, "the fewest and the most latent frames"),
    ],
)
def test_a_recipe_refuses_what_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(student(), **change)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimiser(-1e-4), "`rate` is 0 or more"),
        (lambda: Optimiser(1e-4, betas=(0.9, 1.0)), r"betas are in \[0, 1\)"),
        (lambda: Optimiser(1e-4, clip=0), "`clip` is above 0"),
        (lambda: Stream(new=6, longest=4), "the 6 new frames of one update or more, got 4"),
        (lambda: Chunks(0), "`size` is 1 or more"),
        (lambda: Chunks(2, Full(capacity=0)), "`capacity` is 1 or more"),
        (lambda: DMD(clamp=(0.9, 0.1)), "a clamp is two noise levels"),
        (lambda: DMD(shift=0), "`shift` is above 0"),
        (lambda: SelfConsistency(rule="nearst"), "a triplet rule is one of released, nearest, uniform, got 'nearst'"),
        (lambda: WanSpec(width=100, heads=20), "an even share of the width, got 20 and 100"),
        (lambda: ShapesWorld(height=12), "`height` is 22 or more, got 12"),
    ],
)
def test_and_so_do_its_parts(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_evidence_is_the_weights(root: Path) -> None:
    recipe = student()
    assert recipe.evidence(0, root.parent) == ""
    folder = train(recipe, root, quiet)
    found = recipe.evidence(0, root.parent)
    assert len(found) == 12
    path = folder / "student.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    assert recipe.evidence(0, root.parent) != found
