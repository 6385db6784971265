"""The same bytes, however often and wherever a run is stopped."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import contents, quiet, student, teacher

from salt_bench import files
from salt_bench.errors import UserError
from salt_bench.types import Log
from salt_train import checkpoint
from salt_train.recipe import Recipe
from salt_train.train import train


class Stopped(Exception):
    """What the tests interrupt a run with."""


def stop_after(updates: int, total: int) -> Log:
    def log(stage: str, fraction: float) -> None:
        if round(fraction * total) == updates:
            raise Stopped

    return log


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("make", [teacher, student], ids=["teacher", "student"])
def test_a_run_stopped_at_every_update_ends_in_the_same_bytes(make: Callable[[], Recipe], root: Path, tmp_path: Path) -> None:
    recipe = replace(make(), seed=3)
    calm = contents(train(recipe, root, quiet))
    assert set(calm) == {"student.safetensors", "log.jsonl", "recipe.json"}
    wild = root.rename(tmp_path / "wild")
    folder = wild / recipe.fingerprint()
    for path in folder.iterdir():
        path.unlink()
    for n in range(1, recipe.steps + 1):
        with pytest.raises(Stopped):
            train(recipe, wild, stop_after(n, recipe.steps))
    assert set(contents(folder)) == {"resume.pt"}
    assert contents(train(recipe, wild, quiet)) == calm


@pytest.mark.usefixtures("often")
def test_a_resumed_run_does_not_start_again(root: Path) -> None:
    with pytest.raises(Stopped):
        train(student(), root, stop_after(5, 6))
    done: list[float] = []
    train(student(), root, lambda _, fraction: done.append(fraction))
    assert done == [pytest.approx(5 / 6), 1.0]


@pytest.mark.usefixtures("often")
def test_a_damaged_resume_file_is_set_aside(root: Path) -> None:
    calm = contents(train(student(), root, quiet))
    folder = root / student().fingerprint()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(Stopped):
        train(student(), root, stop_after(5, 6))
    whole = (folder / "resume.pt").read_bytes()
    files.write_bytes(folder / "resume.pt", whole[: len(whole) // 2])
    train(student(), root, quiet)
    assert (folder / "resume.damaged").read_bytes() == whole[: len(whole) // 2]
    (folder / "resume.damaged").unlink()
    assert contents(folder) == calm


def test_a_kill_between_the_last_two_writes_leaves_nothing_behind(root: Path) -> None:
    folder = train(student(), root, quiet)
    calm = contents(folder)
    checkpoint.pause(folder, {})
    assert not student().prepare(0, root.parent, quiet)
    assert contents(folder) == calm


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "disk full while writing .*: free space"), (errno.EROFS, "read-only file system")]
)
@pytest.mark.usefixtures("often")
def test_a_full_or_closed_disk_is_said_and_the_same_call_goes_on(
    code: int, message: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UserError, match=message):
            train(student(), root, quiet)
    assert not any((root / student().fingerprint()).iterdir())
    assert checkpoint.finished(train(student(), root, quiet))
