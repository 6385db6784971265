"""Folders of checkpoints, and the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import quiet, teacher

from salt_bench import files
from salt_train import cli
from salt_train import train as training
from salt_train.train import train


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Captions, latents and digests are kept where nobody else looks."""
    folder, patch = tmp_path_factory.mktemp("cache"), pytest.MonkeyPatch()
    patch.setenv("SALT_CACHE", str(folder))
    yield folder
    patch.undo()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume file at every second update."""
    monkeypatch.setattr(training, "SAVE_EVERY", 2)


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that holds the teacher."""
    root = tmp_path_factory.mktemp("taught")
    train(teacher(), root, quiet)
    return root


@pytest.fixture
def root(taught: Path, tmp_path: Path) -> Path:
    """An own folder of checkpoints with the teacher in it."""
    found, name = tmp_path / "checkpoints", teacher().fingerprint()
    for path in (taught / name).iterdir():
        files.write_bytes(found / name / path.name, path.read_bytes())
    for path in taught.glob("codec-*"):
        files.write_bytes(found / path.name, path.read_bytes())
    return found


@pytest.fixture
def salt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command salt-train in this process: its exit code, and what it says."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["salt-train", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return run
