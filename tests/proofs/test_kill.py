"""A run that is killed again and again ends in the same bytes as one that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import toy

KILLS = 20
ARMS = '{"plain": ToyArm(3, steps=60, pause=0.01), "plus 7": ToyArm(7, steps=60, pause=0.01)}'
STUDIES = ("toy", *(path.name for path in sorted(Path(__file__).parent.glob("study_*.py"))))  # a study file here is proven too


@pytest.fixture(params=STUDIES)
def arguments(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    path = toy.write_study(tmp_path, ARMS) if request.param == "toy" else Path(__file__).parent / request.param
    return ["run", str(path), "--jobs", "2", "--out", "published"]


def start(folder: Path, arguments: list[str]) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    pipe = subprocess.PIPE
    command = toy.command(*arguments)
    return subprocess.Popen(
        command, cwd=folder, env=toy.environment(), stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(folder: Path, arguments: list[str]) -> float:
    """Runs to the end; how many seconds that took."""
    began, run = time.monotonic(), start(folder, arguments)
    output = run.communicate(timeout=3600)[0]
    assert run.returncode in (0, 6), output
    return time.monotonic() - began


def kill_after(folder: Path, arguments: list[str], seconds: float) -> bool:
    """Kills the whole process group after `seconds`; False where it had already ended."""
    run = start(folder, arguments)
    time.sleep(seconds)
    alive = run.poll() is None
    if alive:
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    return alive


def outcome(folder: Path) -> dict[str, bytes]:
    """The table and every checkpoint; locks and what a kill left half-written are no results."""
    checkpoints = [p for p in (folder / "runs" / "checkpoints").rglob("*") if p.is_file() and not p.name.startswith(".")]
    files = [folder / "published" / "scores.jsonl", *(p for p in checkpoints if p.suffix != ".lock")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_kills_change_no_byte(tmp_path: Path, arguments: list[str]) -> None:
    calm, wild, draw = tmp_path / "calm", tmp_path / "wild", random.Random(0)
    seconds, killed, ended = finish(calm, arguments), 0, 0
    while killed < KILLS:
        if kill_after(wild, arguments, 0.2 + 0.8 * seconds * draw.random()):
            killed += 1
        else:  # resumed so often that it came to its end: compare, and torment a new one
            same(calm, wild)
            shutil.rmtree(wild)
            ended += 1
        assert ended < KILLS, "the kills come too late to disturb anything"
    finish(wild, arguments)
    print(f"\n{KILLS} runs killed, {ended + 1} outcomes of {same(calm, wild)} files compared")


def same(calm: Path, wild: Path) -> int:
    """How many files there are, all of them equal."""
    wanted, found = outcome(calm), outcome(wild)
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if wanted[name] != found[name]] == []
    return len(wanted)
