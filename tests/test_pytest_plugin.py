"""The fixture that gates inside of tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import toy

TEST = """
def test_gate(salt_check):
    report = salt_check({word!r}, judges=("bright",))
    assert report.verdict == "PASS"
"""
SIDES = """
import sys; sys.path.insert(0, {folder!r})
from pathlib import Path
from sides import *
saved(Path("old"), side(errors())); saved(Path("worse"), side(shifted(errors(), 6.0)))
"""


def outcome(folder: Path, word: str, *arguments: str) -> str:
    (folder / "test_it.py").write_text(TEST.format(word=word))
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", "."]
    command += ["test_it.py", *arguments]
    done = subprocess.run(command, cwd=folder, env=toy.environment(), capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_fixture_passes_fails_and_skips(tmp_path: Path) -> None:
    sides = SIDES.format(folder=str(Path(__file__).parent / "gate"))
    subprocess.run([sys.executable, "-c", sides], cwd=tmp_path, env=toy.environment(), check=True)
    assert "1 passed" in outcome(tmp_path, "old", "--salt-baseline", "old")
    worse = outcome(tmp_path, "worse", "--salt-baseline", "old")
    assert "1 failed" in worse
    assert "REGRESSION: bright.error" in worse
    assert "1 skipped" in outcome(tmp_path, "old")
