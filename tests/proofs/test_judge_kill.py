"""A judging that is killed again and again ends in the same bytes as one that nobody disturbed, and no row comes twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "judges" / "vbench"))

import films
import small_networks
import toy

KILLS, VIDEOS = 8, 6
NAMES = ("subject_consistency", "temporal_flickering", "static_filter")  # quick to load, and every pass takes a while
RESULTS = ("scores.jsonl", "summary.json")


@dataclass(frozen=True)
class Judging:
    """The command on one folder of videos, with one worker: where it is killed, that worker is at work."""

    folder: Path

    def start(self, out: str) -> subprocess.Popen[str]:
        options = ["--mode", "custom", "--dimensions", ",".join(NAMES), "--weights", self.folder / "weights", "--out", out]
        command = toy.command("judge", self.folder / "videos", "--suite", "vbench", *options)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=toy.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, out: str) -> None:
        run = self.start(out)
        output = run.communicate(timeout=600)[0]
        assert run.returncode == 0, output

    def known(self, out: str) -> int:
        """How many videos are finished."""
        return len(list((self.folder / out / "cache").glob("??/*.json")))

    def kill_within(self, out: str, seconds: float, group: bool) -> bool:
        """Kills it `seconds` after its work has begun, alone or with its worker; False where it had ended. A new judging is
        killed as soon as its first video is finished."""
        new = not (self.folder / out).exists()
        run, latest = self.start(out), time.monotonic() + 60
        while not (self.known(out) if new else (self.folder / out / "cache").is_dir()) and time.monotonic() < latest:
            time.sleep(0.01)
        time.sleep(0 if new else seconds)
        alive = run.poll() is None
        if alive:
            (os.killpg if group else os.kill)(run.pid, signal.SIGKILL)
        run.communicate(timeout=60)
        return alive

    def results(self, out: str) -> dict[str, bytes]:
        return {name: (self.folder / out / name).read_bytes() for name in RESULTS if (self.folder / out / name).exists()}


@pytest.fixture
def judging(tmp_path: Path) -> Judging:
    small_networks.write(tmp_path / "weights")
    for number in range(VIDEOS):
        frames = films.drift(3 + number // 2, 132, 136, speed=1 + number)
        films.write(tmp_path / "videos" / f"a cat-{number}.mp4", frames, "libx264", "yuv420p")
    shutil.copy(tmp_path / "videos" / "a cat-0.mp4", tmp_path / "videos" / "its copy-0.mp4")
    return Judging(tmp_path)


def test_kills_change_no_byte(judging: Judging) -> None:
    began, draw = time.monotonic(), random.Random(0)
    judging.finish("calm")
    seconds, calm, killed, halfway, ended = time.monotonic() - began, judging.results("calm"), 0, 0, 0
    while killed < KILLS:
        if judging.kill_within("wild", 0.6 * seconds * draw.random(), draw.random() < 0.5):
            killed += 1
            halfway += 0 < judging.known("wild") < VIDEOS
            assert judging.results("wild").items() <= calm.items(), "what is there before the end is whole"
        else:  # resumed so often that it came to its end: compare, and torment a new one
            assert judging.results("wild") == calm
            shutil.rmtree(judging.folder / "wild")
            ended += 1
        assert ended < KILLS, "the kills come too late to disturb anything"
    judging.finish("wild")
    assert judging.results("wild") == calm
    assert halfway, "no kill fell between two videos: the test shows nothing"
    rows = [(row["video"], row["judge"]) for row in map(json.loads, calm["scores.jsonl"].splitlines())]
    assert len(set(rows)) == len(rows) == (VIDEOS + 1) * len(NAMES)
    print(f"\n{KILLS} judgings killed, {halfway} of them between two videos; {ended + 1} outcomes compared")
