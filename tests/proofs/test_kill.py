"""A run that is killed again and again ends in the same bytes as one that nobody disturbed."""

from __future__ import annotations

import os
import random
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
STUDY = os.environ.get("SALT_KILL_STUDY", "")  # a study file to prove instead of the toy, at smoke scale


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    if STUDY:
        return ["run", str(Path(STUDY).resolve()), "--scale", "smoke", "--out", "published"]
    return ["run", str(toy.write_study(tmp_path, ARMS)), "--jobs", "2", "--out", "published"]


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
    """The table and every checkpoint; a training state that a resume no longer needs and lock files are no results."""
    checkpoints = [p for p in (folder / "runs" / "checkpoints").rglob("*") if p.is_file() and not p.name.startswith(".")]
    files = [folder / "published" / "scores.jsonl", *(p for p in checkpoints if p.suffix != ".lock")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_kills_change_no_byte(tmp_path: Path, arguments: list[str]) -> None:
    seconds = finish(tmp_path / "calm", arguments)
    draw, killed = random.Random(0), 0
    for _ in range(KILLS):
        # Up to the whole length of a run, early moments more often: a resumed run has less and less left to do.
        killed += kill_after(tmp_path / "wild", arguments, 0.2 + seconds * draw.random() ** 2)
    finish(tmp_path / "wild", arguments)
    calm, wild = outcome(tmp_path / "calm"), outcome(tmp_path / "wild")
    print(f"\n{killed} of {KILLS} runs killed, {len(calm)} files compared")
    assert killed >= KILLS // 4
    assert wild.keys() == calm.keys()
    assert [name for name in calm if calm[name] != wild[name]] == []
