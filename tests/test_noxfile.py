"""The sessions are those that the documentation names, and every ablation file is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SESSIONS = {
    "tests",
    "gate",
    "proofs",
    "simulation",
    "lint",
    "types",
    "smoke",
    "vbench_smoke",
    "speed",
    "teacher",
    "semantic",
}


def listed(folder: Path) -> dict[str, bool]:
    """session → whether it runs by default, as nox sees the noxfile in `folder`."""
    nox = shutil.which("nox")
    if nox is None:
        assert not os.environ.get("CI"), "nox is not on the PATH"
        pytest.skip("nox is not installed beside the tests: it runs them from outside")
    done = subprocess.run([nox, "-l"], cwd=folder, capture_output=True, text=True, check=True)
    lines = re.findall(r"^([*-]) (\S+)", re.sub(r"\x1b\[[0-9;]*m", "", done.stdout), re.MULTILINE)
    return {name: mark == "*" for mark, name in lines}


def test_sessions(tmp_path: Path) -> None:
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    (tmp_path / "ablations").mkdir()
    for name in ("weights.py", "_shared.py"):
        (tmp_path / "ablations" / name).write_text("")
    found = listed(tmp_path)
    assert set(found) == SESSIONS | {"ablation_weights"}
    assert [name for name, default in found.items() if default] == ["tests"]


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*==[0-9][0-9a-z.+!]*", line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))
    assert {"torch", "numpy", "pytest", "ruff", "mypy"} <= set(names)


def test_ci_runs_every_kind_of_check() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in text
    for session in ("lint", "types", "tests", "gate", "proofs"):
        assert re.search(rf"nox .*\b{session}\b", text)
