"""Configurations of hundreds of megabytes: what each is said to need, against what its update takes. And where a setup's
layouts say that it fits, every stage of every method fits."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

from test_forecast import CASES, TEAM, within_a_tenth

from salt_train import forecast, setups
from salt_train.layout import PLAIN
from salt_train.methods import methods
from salt_train.parallel import start
from salt_train.plan import demands
from salt_train.recipe import Recipe


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_within_a_tenth(name: str, tmp_path: Path) -> None:
    within_a_tenth(name, tmp_path)


def test_a_forecast_of_a_team_is_within_a_tenth(tmp_path: Path) -> None:
    job = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, str(tmp_path))
    subprocess.run((sys.executable, *job), check=True, timeout=300)


def trained(recipe: Recipe) -> Iterator[Recipe]:
    """The recipe and the stages before it, but for those whose weights are published."""
    for stage in (recipe, *(earlier for before in recipe.before for earlier in trained(before))):
        if not stage.weights:
            yield stage


STAGES = {
    f"{name}, {len(list(trained(stage)))} stages": replace(stage, init=None)  # where weights come from costs nothing
    for name, method in methods().items()
    if "setup" in inspect.signature(method).parameters
    for stage in trained(method(setup="wan21"))
}
DISTINCT = {replace(stage, steps=1): name for name, stage in STAGES.items()}


@pytest.fixture
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks tell as much as four, to 1 %."""
    monkeypatch.setattr(forecast, "FEW", 1)


@pytest.mark.usefixtures("sooner")
@pytest.mark.parametrize("stage", DISTINCT, ids=DISTINCT.values())
def test_every_stage_fits_every_layout_of_its_setup(stage: Recipe) -> None:
    for name, fleet in setups.setup("wan21").layouts.items():
        (found,) = demands(stage, fleet.layout, (fleet.processes,), fleet.memory)
        print(f"{name}: {found.bytes / 1e9:.1f} GB, {found.phase}")
        assert found.fits, (name, found.rows)


@pytest.mark.usefixtures("sooner")
def test_a_student_of_14b_fits_where_eight_make_every_video() -> None:
    recipe = replace(methods()["salt_self_forcing"](setup="wan21_14b"), init=None)
    fleet = setups.setup("wan21_14b").fleet("8x80GB")
    (found,) = demands(recipe, fleet.layout, (fleet.processes,), fleet.memory)
    (alone,) = demands(recipe, replace(fleet.layout, sequence=1), (fleet.processes,), fleet.memory)
    print(f"{found.bytes / 1e9:.1f} GB, by itself {alone.bytes / 1e9:.1f} GB")
    assert (found.fits, alone.fits) == (True, False)


if __name__ == "__main__":
    start(PLAIN)
    within_a_tenth(TEAM, Path(sys.argv[1]))
