"""`salt-train plan --try`: updates of the real code without a file, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from causal_parts import causal
from pipeline import small
from tiny import teacher

from salt_bench import record
from salt_train import trial
from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.layout import PLAIN, Layout
from salt_train.made_up import MadeUpSteps
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.longlive import longlive
from salt_train.methods.salt_self_forcing import salt_self_forcing
from salt_train.objectives.dmd import DMD
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Recipe
from salt_train.trial import Took, Trial, page, tried

Salt = Callable[..., tuple[int, str, str]]


def nowhere(recipe: Recipe, folder: Path) -> Recipe:
    """The very same recipe at a tiny size, none of whose files is there."""
    recipe = small(recipe, folder)
    (folder / "captions.txt").unlink(missing_ok=True)
    stages = {"teacher": recipe.teacher, "init": recipe.init, "critic_init": recipe.critic_init}
    gone = {name: stage and nowhere(stage, folder) for name, stage in stages.items()}
    spec = WanVAE("nowhere", frames=21, height=32, width=32)
    return replace(recipe, world=PromptFile("nowhere.txt"), codec=spec, text=UMT5("nowhere", 16, 6), batch=64, **gone)


@pytest.mark.parametrize(
    "make",
    [
        lambda: salt_self_forcing(setup="wan21"),
        lambda: longlive(setup="wan21"),
        lambda: causal_forcing("ar", setup="wan21"),
    ],
    ids=["salt", "longlive", "teacher forcing"],
)
def test_a_wan_recipe_is_tried_without_a_file(make: Callable[[], Recipe], tmp_path: Path, salt: Salt) -> None:
    recipe = nowhere(make(), tmp_path)
    (tmp_path / "recipe.json").write_text(record.text(recipe))
    before = set(tmp_path.rglob("*"))
    code, out, err = salt("plan", tmp_path / "recipe.json", "--device", "cpu", "--try", 2, "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (said["batch"], said["whole"], len(said["updates"]), said["processes"]) == (1, 64, 2, 1)
    phases = {"critics", "student"} if recipe.critic else {"student"}
    assert said["forecast"].keys() == said["peaks"].keys() == phases
    assert all(0.9 < ratio < 1.1 for ratio in said["measured over forecast"].values())
    assert set(tmp_path.rglob("*")) == before


def test_a_page_says_what_was_run(salt: Salt) -> None:
    code, out, err = salt("plan", "sc_dmd", "--setup", "shapes", "--device", "cpu", "--micro", 2, "--try", 3)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "3 updates of sc_dmd in 1 × cpu with --micro 2"
    assert lines[1] == "batch 2 of 8: a full one makes 4 such parts and steps once"
    assert [line.split("  ")[0] for line in lines if line.startswith("seconds")] == [
        "seconds, 1 (8 steps)",
        "seconds, 2 (8 steps)",
        "seconds, 3 (8 steps)",
        "seconds, but for the first",
    ]
    assert all(0.95 < float(ratio) < 1.05 for ratio in lines[-1].split()[-3:])


def test_time_is_the_critics_until_the_student_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by 1 whenever material for an update is made: five critic updates and the student's."""
    now, make = [0.0], MadeUpSteps.__call__

    def slow(self, *material):  # type: ignore[no-untyped-def]
        now[0] += 1
        return make(self, *material)

    monkeypatch.setattr(MadeUpSteps, "__call__", slow)
    monkeypatch.setattr(trial.Clock, "_now", lambda self: now[0])
    recipe = replace(causal(DMD(), steps=9), critic_updates=5)
    found = tried("dmd", recipe, PLAIN, 1, 2)
    assert [took.seconds for took in found.updates] == [{"critics": 5.0, "student": 1.0}] * 2
    alone = tried("teacher", teacher(), PLAIN, 1, 1)
    assert [took.seconds for took in alone.updates] == [{"student": 1.0}]


def test_measured_memory_stands_beside_the_forecast() -> None:
    took = (Took(4, {"critics": 9.0, "student": 3.0}, {"critics": 50 * 10**9, "student": 10**9}),)
    took += (Took(2, {"critics": 5.0, "student": 1.0}, {"critics": 40 * 10**9, "student": 60 * 10**9}),)
    took += (Took(2, {"critics": 7.0, "student": 2.0}, {"critics": 40 * 10**9, "student": 2 * 10**9}),)
    forecast = {"critics": 40 * 10**9, "student": 80 * 10**9}
    said = Trial("dmd", "H100", 1, Layout(device="cuda"), 1, 64, 3.0, took, None, forecast)
    rows = {line[:27].strip(): line[27:].split() for line in page(said).splitlines()[4:]}
    assert rows["seconds, 1 (4 steps)"] == ["9.00", "3.00", "12.00"]
    assert rows["seconds, but for the first"] == ["6.00", "1.50", "7.50"]
    assert rows["GB, forecast"] == ["40", "80", "80"]
    assert rows["GB, allocated"] == ["50", "60", "60"]
    assert rows["measured / forecast"] == ["1.250", "0.750", "0.750"]
    assert said.data()["measured over forecast"] == {"critics": 1.25, "student": 0.75}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--gpus", "1,8"), "--try is for one number of GPUs, as in --gpus 8, got '1,8'"),
        (("--gpus", "3"), "a batch of 8 does not divide among 3 processes"),
        (("--try", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_use_is_2(options: tuple[str, ...], words: str, salt: Salt) -> None:
    code, _, err = salt("plan", "dmd", "--setup", "shapes", "--device", "cpu", "--try", 1, *options)
    assert (code, words in err) == (2, True), err
