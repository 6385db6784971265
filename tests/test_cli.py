"""The command line: what it prints, what it leaves on disk, and which exit code says so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import toy

from salt_bench import cli, files, registry, results
from salt_bench.errors import UserError


def salt(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = toy.environment() | environment
    return subprocess.run(toy.command(*arguments), cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the toy study has run once."""
    folder = tmp_path_factory.mktemp("finished")
    toy.write_study(folder)
    done = salt(folder, "run", "toy_study.py", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_publishes(finished: Path) -> None:
    out = finished / "reports" / "toy"
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["cells"] == {"trained": 4, "reused": 0, "judged": 5}
    assert {"index.html", "scores.jsonl", "clips"} <= {p.name for p in out.iterdir()}


def test_a_second_run_is_quick_and_changes_no_byte(finished: Path) -> None:
    before, began = contents(finished / "reports"), time.monotonic()
    done = salt(finished, "run", "toy_study.py")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 20
    assert "0 trained, 5 reused, 0 judged" in done.stdout
    assert "nothing new: reports/toy" in done.stdout
    assert contents(finished / "reports") == before


def test_a_second_run_needs_no_torch(finished: Path) -> None:
    code = "import sys; from salt_bench.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules, 'torch'"
    command = [toy.command()[0], "-c", code, "run", "toy_study.py"]
    done = subprocess.run(command, cwd=finished, env=toy.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rendering_again_changes_no_byte(finished: Path) -> None:
    before = contents(finished / "reports")
    assert salt(finished, "render", "reports/toy").returncode == 0
    assert contents(finished / "reports") == before


def test_the_time_is_accounted_for(tmp_path: Path) -> None:
    toy.write_study(tmp_path)
    done = salt(tmp_path, "run", "toy_study.py", "--jobs", "1", "--scale", "smoke")
    assert done.returncode == 0, done.stderr
    for stage in ("train", "sample", "judge", "probe", "render", "startup"):
        assert any(stage in line and "core-seconds" in line for line in done.stdout.splitlines()), stage
    assert "runs/smoke/toy/index.html" in done.stdout
    assert not (tmp_path / "reports").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    toy.write_study(tmp_path)
    done = salt(tmp_path, "run", "toy_study.py", "--dry-run")
    assert done.returncode == 0
    assert "measure  plus 7 seed 1" in done.stdout
    assert "5 of 5 cells to measure, 0 to reuse" in done.stdout
    assert "forecast: none, nothing was measured yet in this folder of runs. One cell tells" in done.stdout
    assert {p.name for p in tmp_path.iterdir()} - {"__pycache__"} == {"toy_study.py"}


def test_wrong_use_is_2_and_names_the_remedy(tmp_path: Path) -> None:
    toy.write_study(tmp_path)
    for arguments, words in (
        (("run", "toy_stud.py"), "did you mean toy_study.py?"),
        (("run", "toy_study.py", "--scale", "tiny"), "tiny"),
        (("run", "toy_study.py", "--jobs", "0"), "jobs"),
        (
            ("run", "toy_study.py", "--executor", "ray", "-o", "gpu=1"),
            "one of address=local, cpus=1, gpus=0.0, processes=0; got 'gpu=1'",
        ),
        (("run", "toy_study.py", "-o", "gpus=1"), "one of processes=1; got 'gpus=1'"),
        (("run", "toy_study.py", "--scale", "smoke", "--out", "reports/x"), "never publishes into reports/"),
        (("render", "nowhere"), "no table nowhere/scores.jsonl"),
        (("ran",), "ran"),
    ):
        done = salt(tmp_path, *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_what_nobody_caught_is_5_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    done = salt(tmp_path, "run", "broken.py")
    assert (done.returncode, done.stderr) == (5, "salt-bench: ZeroDivisionError: division by zero\n")
    assert "Traceback" in salt(tmp_path, "run", "broken.py", SALT_TRACEBACK="1").stderr


def test_a_failed_cell_is_5_and_the_rest_is_kept(tmp_path: Path) -> None:
    toy.write_study(tmp_path, arms='{"plain": ToyArm(3), "bad": ToyArm(1, harm="raise")}')
    done = salt(tmp_path, "run", "toy_study.py", "--jobs", "2")
    assert done.returncode == 5
    assert "2 cells failed, 3 are done and kept" in done.stderr
    assert "bad seed 1: RuntimeError: the toy broke on two lines" in done.stderr
    assert not (tmp_path / "reports").exists()
    files.write_text(tmp_path / "runs" / "mended", "")
    again = salt(tmp_path, "run", "toy_study.py", "--jobs", "2")
    assert again.returncode == 0, again.stderr
    assert "2 trained, 3 reused, 2 judged" in again.stdout


def test_a_gap_in_the_table_is_6(tmp_path: Path) -> None:
    toy.write_study(tmp_path, more="judges=(Brightness(), Sick('p04', None, True))")
    done = salt(tmp_path, "run", "toy_study.py", "--executor", "inline")
    assert done.returncode == 6, done.stderr
    assert "5 rows could not be judged, the first because: sick: too short to tell" not in done.stdout
    assert "9 rows could not be judged, the first because: sick: too short to tell" in done.stdout


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 kB."""
    disk = tmp_path / "tiny"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60k", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root; test_study.py has the same with a simulated disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_named_and_the_same_command_goes_on(tiny_disk: Path) -> None:
    toy.write_study(tiny_disk)
    full = salt(tiny_disk, "run", "toy_study.py", "--jobs", "2", PYTHONDONTWRITEBYTECODE="1")
    assert full.returncode == 5
    assert "disk full while writing" in full.stderr
    assert "free space and run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=8m", str(tiny_disk)], check=True)
    again = salt(tiny_disk, "run", "toy_study.py", "--jobs", "2")
    assert again.returncode == 0, again.stderr
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    closed = salt(tiny_disk, "run", "toy_study.py")
    assert closed.returncode == 5
    assert "read-only file system" in closed.stderr
    assert "Traceback" not in closed.stderr


def test_ctrl_c_is_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    toy.write_study(tmp_path, arms='{"plain": ToyArm(3, steps=400, pause=0.01), "plus 7": ToyArm(7, steps=400, pause=0.01)}')
    pipe, command = subprocess.PIPE, toy.command("run", "toy_study.py", "--jobs", "2")
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # the children of a background job would ignore it
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=toy.environment(),
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
        preexec_fn=hears,
    )
    wait_for(lambda: any((tmp_path / "runs").glob("checkpoints/*/state")))
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    stopped = time.monotonic()
    out, err = run.communicate(timeout=20)
    assert time.monotonic() - stopped < 5
    assert run.returncode == 130, err
    assert "the same command goes on" in out
    assert "Traceback" not in err
    assert not group_lives(run.pid)
    state = next((tmp_path / "runs").glob("checkpoints/*/state")).read_bytes()
    assert len(state) == 16


def test_two_runs_in_the_same_folder_share_the_work(tmp_path: Path) -> None:
    toy.write_study(tmp_path, arms='{"plain": ToyArm(3, steps=40, pause=0.02), "plus 7": ToyArm(7, steps=40, pause=0.02)}')
    pipe, command = subprocess.PIPE, toy.command("run", "toy_study.py", "--jobs", "2")
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=toy.environment(), stdout=pipe, stderr=pipe, text=True) for _ in range(2)
    ]
    said = [run.communicate(timeout=120) for run in both]
    assert [run.returncode for run in both] == [0, 0], said
    counts = [re.search(r"(\d+) trained, (\d+) reused, (\d+) judged", out) for out, _ in said]
    trained, reused, judged = (sum(int(found[i]) for found in counts if found) for i in (1, 2, 3))
    assert (trained, judged, reused) == (4, 5, 5)  # each cell is made by one of them and found by the other
    with open(tmp_path / "runs" / "toy" / "default" / "timings.jsonl") as file:
        assert len([json.loads(line) for line in file]) == 5
    published = results.read(tmp_path / "reports" / "toy" / "scores.jsonl")
    assert len({score.key() for score in published}) == len(published) == 98


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    toy.write_study(tmp_path, arms='{"plain": ToyArm(3, steps=2000, pause=0.01)}')
    command, null = toy.command("run", "toy_study.py", "--jobs", "2"), subprocess.DEVNULL
    run = subprocess.Popen(command, cwd=tmp_path, env=toy.environment(), stdout=null, stderr=null, start_new_session=True)
    wait_for(lambda: any((tmp_path / "runs").glob("checkpoints/*/state")))
    run.kill()  # the parent alone
    run.wait()
    wait_for(lambda: not group_lives(run.pid))


def wait_for(happened, seconds: float = 20) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_help_names_commands_and_exit_codes(tmp_path: Path) -> None:
    done = salt(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("run", "render", "list", "doctor", "130"):
        assert word in done.stdout
    assert "--dry-run" in salt(tmp_path, "run", "--help").stdout


def test_list_finds_ablations_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "weights.py").write_text('"""Does the weight matter?"""\n')
    done = salt(tmp_path, "list")
    assert done.returncode == 0, done.stderr
    assert "ablations/weights.py" in done.stdout
    assert "Does the weight matter?" in done.stdout
    assert "Truth" in registry.listing(tmp_path)["samplers"]


def test_list_keeps_judges_and_dimensions_of_the_same_name_apart(tmp_path: Path) -> None:
    found = registry.listing(tmp_path)
    assert set(found["judges"]) == set(registry.judges())
    assert set(found["VBench dimensions"]) >= {"subject_consistency", "static_filter"}
    assert found["judges"]["subject_consistency"] != found["VBench dimensions"]["subject_consistency"]


def test_doctor_says_what_there_is(tmp_path: Path) -> None:
    done = salt(tmp_path, "doctor")
    assert done.returncode in (0, 5), done.stderr
    for word in ("python", "torch", "cores usable", "disk", "runs/", "reports/", "EfficientNet"):
        assert word in done.stdout
    assert ("MISSING" in done.stdout) == (done.returncode == 5)


def test_main_turns_a_user_error_into_its_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise UserError("disk full while writing x: free space")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 5
    assert capsys.readouterr().err == "salt-bench: disk full while writing x: free space\n"
