"""Every method in every layout, and every way from one layout to another: what tests/train/test_parallel.py has samples of."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

from crews import KILLED, close, dmd, kill_after, losses, salt, sc_dmd, trained
from tiny import quiet, student, teacher

from salt_train import train as training
from salt_train.layout import PLAIN, Layout
from salt_train.recipe import Recipe
from salt_train.trial import page, tried

WAYS = {
    "1": (1, PLAIN),
    "1 in parts": (1, Layout(micro=2)),
    "2": (2, PLAIN),
    "4": (4, PLAIN),
    "1 sharded": (1, Layout(shard=True)),
    "2 sharded": (2, Layout(shard=True)),
    "2 sharded, checkpointing": (2, Layout(shard=True, checkpointing=True)),
    "2 sharded in parts": (2, Layout(shard=True, micro=1)),
    "4 sharded": (4, Layout(shard=True)),
    "a team of 2": (2, Layout(sequence=2)),
    "2 teams of 2, sharded, checkpointing": (4, Layout(sequence=2, shard=True, checkpointing=True)),
}
METHODS = {"dmd": dmd, "sc_dmd": sc_dmd, "salt": salt}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("taught") / "checkpoints"
    training.train(teacher(), root, quiet)
    return root


@pytest.fixture
def fresh(taught: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(taught, tmp_path / name))


@pytest.mark.parametrize("name", METHODS)
def test_twenty_updates_have_the_losses_of_one_process(name: str, fresh: Callable[[str], Path]) -> None:
    recipe, found = METHODS[name](), {}
    for way, (ranks, layout) in WAYS.items():
        root = fresh(way)
        trained(recipe, root, ranks, layout)
        found[way] = losses(recipe, root)
        print(f"{name}, {way}: {apart(found['1'], found[way]):.1e}")
    assert all(close(found["1"], rows) for rows in found.values())


def apart(one: list[dict[str, float]], two: list[dict[str, float]]) -> float:
    """The largest relative difference of a number."""
    return max(abs(a[k] - b[k]) / max(abs(a[k]), 1e-12) for a, b in zip(one, two, strict=True) for k in a)


def moves() -> Iterator[tuple[str, str]]:
    some = ("1", "2", "4", "1 sharded", "2 sharded", "2 sharded in parts")
    for i, (a, b) in enumerate(itertools.combinations(some, 2)):
        yield (a, b) if i % 2 else (b, a)
    team, teams = "a team of 2", "2 teams of 2, sharded, checkpointing"
    yield from (("1", teams), (team, "1"), (teams, "2"), ("2 sharded", team), (team, teams), (teams, team))


@pytest.mark.parametrize(("before", "after"), moves(), ids=lambda way: way.replace(" ", "-").replace(",", ""))
def test_a_killed_run_goes_on_with_others(
    before: str, after: str, fresh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 2)
    recipe: Recipe = salt(steps=8)
    root, calm = fresh("moved"), fresh("calm")
    training.train(recipe, calm, quiet)
    trained(recipe, root, *WAYS[before], log=kill_after(5, 8), ends=(KILLED,))
    trained(recipe, root, *WAYS[after])
    assert close(losses(recipe, calm), losses(recipe, root))


def test_several_processes_try_together() -> None:
    found = tried("sc_dmd", replace(student(), batch=8), Layout(shard=True, micro=2), 2, 1)
    assert (found.processes, found.batch, found.whole, len(found.updates), found.peaks) == (2, 4, 8, 1, {})
    assert page(found).endswith("memory was not measured: on a CPU it is counted where networks are whole")
