"""The command salt-train: what it prints, what it leaves on disk, and which exit code says so."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from tiny import student, teacher

from salt_bench import record
from salt_train import checkpoint, cli, launch
from salt_train.layout import Layout
from salt_train.methods.self_forcing import self_forcing
from salt_train.recipe import Optimiser, Recipe, checkpoints

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Salt = Callable[..., Ended]


@pytest.fixture
def salt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Salt:
    """The command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["salt-train", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, *capsys.readouterr())

    return run


def write(recipe: Recipe, path: str = "recipe.json") -> Path:
    Path(path).write_text(record.text(recipe))
    return Path("runs/checkpoints") / recipe.fingerprint()


def test_a_recipe_file_is_trained_and_can_be_looked_at(salt: Salt) -> None:
    folder = write(student(steps=3).seeded(5))
    done = salt("run", "recipe.json")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"finished {folder}"), done.err
    assert {p.name for p in folder.iterdir()} == {"student.safetensors", "log.jsonl", "recipe.json"}
    again = salt("run", "recipe.json")
    assert (again.code, again.out) == (0, f"nothing to do: {folder} is finished\n")
    seen = salt("inspect", folder)
    assert seen.code == 0
    assert checkpoint.digest(folder) in seen.out
    assert '"seed": 5' in seen.out
    assert json.loads(seen.out.splitlines()[-1])["step"] == 2
    assert salt("resume", folder).out == f"{folder} is finished: nothing to resume\n"


def test_a_seed_on_the_command_line_wins(salt: Salt) -> None:
    recipe = teacher(2).seeded(5)
    write(recipe)
    assert salt("run", "recipe.json", "--seed", "1").out == f"finished runs/checkpoints/{recipe.fingerprint(1)}\n"


def test_methods_are_listed_with_their_parameters(salt: Salt) -> None:
    done = salt("list")
    assert done.code == 0
    lines = done.out.splitlines()
    assert "dmd(points: 'int' = 4, steps: 'int | None' = None, setup: 'str' = 'shapes')" in lines
    assert any(line.startswith("sc_dmd(weight: 'float' = 0.2, ") for line in lines)
    assert "    DMD: distribution matching distillation on a fixed grid." in lines
    assert not any(line.startswith("shapes") for line in lines)
    said = done.out.split("\n\n")
    (salt_self_forcing,) = [block for block in said if block.startswith("salt_self_forcing")]
    for line in (
        "terms    1 DMD + 0.2 SelfConsistency at 8 steps + 0.1 CacheAlignment at 2, 4 steps from update 20",
        "rollout  chunks of 2 latent frames, sde, 8 4 2 steps with odds 0.4 0.4 0.2, one exit for all chunks",
        "cache    Full",
        "memory   36,864 bytes per video and latent frame (float32)",
        "source   Salt (arXiv 2604.03118), table A2",
    ):
        assert line in salt_self_forcing
    assert done.out.count("    source   ") == sum("(" in line and not line.startswith(" ") for line in lines)


def test_methods_are_listed_for_wan_too(salt: Salt) -> None:
    said = salt("list", "--setup", "wan21").out
    assert "cache    Window (window 12, sink 3)\n    memory   575,078,400 bytes per video and latent frame (float32)" in said
    assert "start    Wan-AI/Wan2.1-T2V-1.3B-Diffusers" in said
    assert salt("list", "--setup", "wan").code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "sc_dm"), "no method 'sc_dm'; did you mean 'sc_dmd'?"),
        (("run", "zzz"), "known: causal_forcing, dmd, "),
        (("run", "dmd", "--set", "point=8"), "--set 'point=8': dmd takes points=…, steps=…"),
        (("run", "dmd", "--set", "points"), "--set 'points': dmd takes"),
        (("run", "dmd", "--set", "points=eight"), "--set points=eight: dmd takes points as int"),
        (("run", "dmd", "--set", "steps=2.5"), "--set steps=2.5: dmd takes steps as int | None"),
        (("run", "sc_dmd", "--set", "weight=NaN"), "--set weight=NaN: sc_dmd takes weight as float"),
        (("run", "dmd", "--set", "points=0"), "dmd refuses --set points=0: "),
        (("run", "dmd", "--set", "steps=-4"), "dmd refuses --set steps=-4: `steps` is 0 or more, got -4"),
        (("run", "sc_dmd", "--set", "weighting=none"), "a weighting is one of released, "),
        (("run", "none.json"), "none.json is no recipe of this version"),
        (("run", "recipe.json", "--set", "steps=3"), "edit the recipe file instead"),
        (("run", "dmd", "--processes", "0"), "processes"),
        (("run", "dmd", "--micro", "3"), "a batch of 8 is no multiple of 1 processes × 3 videos"),
        (("run", "dmd", "--frozen", "int8"), "`frozen` is one of float32, bfloat16, got 'int8'"),
        (("run", "dmd", "--device", "tpu"), 'a device is "cpu" or "cuda", got \'tpu\''),
        (("run", "dmd", "--setup", "wan21", "--layout", "8x80"), "no layout '8x80' at this scale; known: 8x80GB, 1x141GB"),
        (("run", "dmd", "--setup", "shapes", "--layout", "8x80GB"), "no layout '8x80GB' at this scale; known: none"),
        (("run", "dmd", "--layout", "8x80GB"), "--layout 8x80GB is one of a setup's; name it too, as in --setup wan21"),
        (("run", "dmd", "--setup", "wan21", "--layout", "8x80GB", "--micro", "2"), "--layout 8x80GB says what --micro says"),
        (("plan", "dmd", "--layout", "8x80GB", "--device", "cuda"), "--layout 8x80GB says what --device says"),
        (("run", "dmd", "--setup", "wan2"), "no setup 'wan2'; did you mean"),
        (
            ("run", "teacher", "--setup", "wan21"),
            "--setup wan21: teacher has one scale only, the embedded world's; leave --setup out",
        ),
        (("plan", "recipe.json", "--setup", "wan21"), "--setup wan21 is the scale of a method; a recipe file says its own"),
        (("train",), "train"),
    ],
)
def test_wrong_use_is_2_and_names_the_remedy(arguments: tuple[str, ...], words: str, salt: Salt) -> None:
    done = salt(*arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err


def test_parameters_reach_the_method(salt: Salt, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Recipe] = []
    monkeypatch.setattr(launch, "train", lambda recipe, runs, processes, layout: asked.append(recipe))
    assert salt("run", "sc_dmd", "--set", "weight=3", "--set", "detach=none", "--seed", "2").code == 0
    (recipe,) = asked
    assert (recipe.seed, record.dump(recipe.objectives[1])["weight"], record.dump(recipe.objectives[1])["detach"]) == (
        2,
        3,
        "none",
    )


def test_a_layouts_name_stands_for_its_options(salt: Salt, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Recipe, int, Layout]] = []
    monkeypatch.setattr(launch, "train_all", lambda recipe, runs, processes, layout: asked.append((recipe, processes, layout)))
    scale = ("self_forcing", "--setup", "wan21")
    said = next(line for line in salt("list", "--setup", "wan21").out.splitlines() if "8x80GB" in line)
    assert salt("run", *scale, "--layout", "8x80GB").code == 0
    assert salt("run", *scale, *said.removeprefix("--layout 8x80GB: ").split()).code == 0
    one, two = asked
    assert one == two
    assert (one[0].batch, one[0].backbone.width, one[1]) == (64, 1536, 8)
    assert one[2] == Layout(1, True, "cuda", None, "bfloat16", True)


def test_earlier_stages_are_trained_in_the_layout_of_the_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int, Layout]] = []
    monkeypatch.setattr(launch, "train", lambda recipe, runs, *how: asked.append((recipe.steps, *how)))
    layout = Layout(device="cuda")
    launch.train_all(self_forcing(setup="wan21"), tmp_path, 8, layout)
    assert asked == [(1000, 8, layout), (120, 8, layout)], "the regression first; published networks are not trained"


def test_a_loss_that_is_no_number_is_5_on_one_line(salt: Salt) -> None:
    write(replace(student(), optimiser=Optimiser(rate=1e30)))
    done = salt("run", "recipe.json")
    assert done.code == 5
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("salt-train: the loss of ")
    assert last.endswith("lower the rate or the term's weight")
    assert "Traceback" not in done.err


def test_what_is_no_checkpoint_is_5(salt: Salt) -> None:
    for command, words in (
        ("inspect", "no checkpoint in nowhere: recipe.json is missing; train it, or name the right folder"),
        ("resume", "nowhere holds no stopped run (resume.pt is missing); start it with salt-train run"),
    ):
        done = salt(command, "nowhere")
        assert (done.code, done.err) == (5, f"salt-train: {words}\n")


def test_a_truncated_checkpoint_is_5(salt: Salt) -> None:
    folder = write(teacher(2))
    assert salt("run", "recipe.json").code == 0
    path = folder / "student.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    done = salt("inspect", folder)
    assert done.code == 5
    assert "is truncated or damaged" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk full while writing "), (errno.EROFS, "read-only file system")]
)
def test_a_full_or_closed_disk_is_5(code: int, words: str, salt: Salt, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    write(teacher(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        done = salt("run", "recipe.json")
    assert done.code == 5
    assert words in done.err.replace("\n", " ")
    assert "Traceback" not in done.err
    assert salt("run", "recipe.json").code == 0


def test_what_nobody_caught_is_5_and_shown_when_asked(salt: Salt, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(recipe: Recipe, runs: Path, processes: int, layout: Layout) -> None:
        raise RuntimeError("it broke")

    write(teacher(2))
    monkeypatch.setattr(launch, "train", broken)
    assert salt("run", "recipe.json") == Ended(5, "", "salt-train: RuntimeError: it broke\n")
    monkeypatch.setenv("SALT_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="it broke"):
        salt("run", "recipe.json")


def test_again_trains_what_the_package_ships(salt: Salt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(teacher(2))
    assert salt("run", "recipe.json", "--runs", "shipped").code == 0
    monkeypatch.setattr(checkpoint, "PRETRAINED", checkpoints(tmp_path / "shipped"))
    done = salt("run", "recipe.json")
    assert done.code == 0
    assert "is finished and ships with the package (--again)" in done.out
    assert not folder.exists()
    done = salt("run", "recipe.json", "--again")
    assert (done.code, done.out) == (0, f"finished {folder}\n"), done.err
    shipped = checkpoint.find(folder.name, checkpoints(Path("runs")))
    assert shipped is not None
    assert checkpoint.digest(folder) == checkpoint.digest(shipped)


def wait_for(path: Path, run: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not path.is_file():
        assert run.poll() is None
        assert time.monotonic() < end, "it never began"
        time.sleep(0.05)


def test_ctrl_c_is_130_and_the_same_command_goes_on(tmp_path: Path, salt: Salt) -> None:
    folder = write(replace(teacher(5000), batch=8))
    command = [sys.executable, "-c", "from salt_train.cli import main; main()", "run", "recipe.json"]
    pipe, environment = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # the children of a background job would ignore it
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=hears,
    )
    try:
        wait_for(folder / "resume.pt", run)
        os.killpg(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, err
    assert "stopped; the same command goes on where this one stopped" in err
    assert "Traceback" not in err
    done = salt("resume", folder)
    assert done.code == 0
    assert "updates; the command that started it goes on from there" in done.out
    assert int(done.out.split(" after ")[1].split()[0]) % 20 == 0


def test_a_plan_is_a_table_or_numbers(salt: Salt) -> None:
    asked = ("plan", "dmd", "--setup", "shapes", "--gpus", "1,8", "--memory", "1GB", "--device", "cpu", "--micro", "1")
    done = salt(*asked)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[:2] == [
        "student 4 blocks of 128, teacher 4 blocks of 128, critics 4 blocks of 128",
        "a batch of 8, one video at once on each GPU: --micro 1",
    ]
    assert [line.split() for line in lines if line.startswith("fits")] == [["fits", "into", "1.0", "yes", "yes"]]
    one, eight = json.loads(salt(*asked, "--json").out)
    assert (one["gpus"], eight["gpus"], one["bytes"]) == (1, 8, sum(one["rows"].values()))
    assert salt(*asked, "--memory", "much").code == 2
    assert salt(*asked[:2], "--set", "setup=shapes", *asked[4:]).out == done.out


def test_help_names_commands_and_exit_codes(salt: Salt) -> None:
    done = salt("--help")
    assert done.code == 0
    for word in ("run", "resume", "list", "plan", "inspect", "130"):
        assert word in done.out
    for word in ("--set", "--seed", "--processes", "--again", "--micro", "--shard", "--checkpointing", "--layout"):
        assert word in salt("run", "--help").out
