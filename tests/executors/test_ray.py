"""The Ray executor on a stand-in for Ray that runs what it is asked for at once, and kills what it is told to kill."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from salt_bench.errors import UserError, WrongUse
from salt_bench.executors import ray as executor
from salt_bench.executors.base import Done, Task
from salt_bench.executors.ray import Ray, RayOptions

TASKS = [Task("study.py", "default", "work", "models", arm, 0) for arm in ("a", "b", "c", "d", "e")]


class RayError(Exception):
    """As Ray's."""


class RayTaskError(RayError):
    """As Ray's: what was called has raised `cause`."""

    cause = OSError("no such folder\nhere")


class FakeRay:
    """A cluster of nodes with these resources. `deaths` maps an arm to how many of its workers die."""

    def __init__(self, nodes: Sequence[dict[str, float]] = ({"CPU": 2.0},), deaths: dict[str, int] | None = None) -> None:
        self._nodes, self._deaths = nodes, Counter(deaths or {})
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.settings: dict[str, Any] = {}
        self.resources: dict[str, Any] = {}
        self.asked: list[str] = []
        self.most, self.stopped = 0, 0

    def init(self, **settings: Any) -> None:
        if settings["address"] == "nowhere:1":
            raise ConnectionError("nobody\nanswers")
        self.settings = settings

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": resources} for resources in self._nodes]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address="127.0.0.1:9")

    def remote(self, **resources: Any) -> Any:
        self.resources = resources
        return lambda function: SimpleNamespace(remote=self._call)

    def _call(self, task: Task, folder: Path) -> object:
        self.asked.append(task.arm)
        return (task, object())

    def wait(self, references: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(references))
        return references[:1], references[1:]

    def get(self, reference: Any) -> Done:
        task = reference[0]
        if self._deaths[task.arm] > 0:
            self._deaths[task.arm] -= 1
            raise RayTaskError() if task.arm == "e" else RayError("the worker died")
        return Done(0, task, judged=True)

    def shutdown(self) -> None:
        self.stopped += 1


def started(monkeypatch: pytest.MonkeyPatch, fake: FakeRay, logs: Path, jobs: int | None = None, **options: Any) -> Ray:
    monkeypatch.setitem(sys.modules, "ray", fake)
    return Ray(jobs, logs, RayOptions(**options))


def test_every_task_ends_once_and_the_connection_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    made = started(monkeypatch, fake, tmp_path, cpus=2, gpus=0.0)
    assert [event.task for event in made(TASKS) if isinstance(event, Done)] == TASKS
    assert fake.stopped == 1
    assert (fake.resources["num_cpus"], fake.resources["num_gpus"], fake.resources["max_retries"]) == (2, 0.0, 0)
    assert fake.settings["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "2"
    assert list(tmp_path.iterdir()) == []  # nothing failed: nothing to look up


def test_a_worker_that_dies_once_costs_nothing_and_twice_its_own_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(deaths={"a": 1, "b": 2, "e": 1})
    done = [event for event in started(monkeypatch, fake, tmp_path)(TASKS) if isinstance(event, Done)]
    assert sorted(one.task.arm for one in done) == ["a", "b", "c", "d", "e"]
    failed = {one.task.arm: one.error for one in done if one.error}
    assert failed.keys() == {"b", "e"}
    assert "died, twice" in failed["b"]
    assert failed["e"] == "it could not be run on its node: no such folder here"  # said by the node: trying again is no use
    assert Counter(fake.asked) == {"a": 2, "b": 2, "c": 1, "d": 1, "e": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_room_is_counted_node_by_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = ({"CPU": 8.0, "GPU": 2.0}, {"CPU": 3.0, "GPU": 4.0}, {"CPU": 16.0})
    assert started(monkeypatch, FakeRay(nodes), tmp_path).workers == 27
    assert started(monkeypatch, FakeRay(nodes), tmp_path, cpus=4).workers == 6
    assert started(monkeypatch, FakeRay(nodes), tmp_path, gpus=0.5).workers == 4 + 3
    assert started(monkeypatch, FakeRay(nodes), tmp_path, jobs=5).workers == 5
    with pytest.raises(WrongUse, match=r"no node .* has room"):
        started(monkeypatch, FakeRay(nodes), tmp_path, gpus=5.0)


def test_jobs_bound_what_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(({"CPU": 99.0},))
    list(started(monkeypatch, fake, tmp_path, jobs=2)(TASKS))
    assert fake.most == 2


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no Ray cluster at 'nowhere:1': nobody answers; address=local starts one"):
        started(monkeypatch, FakeRay(), tmp_path, address="nowhere:1")


def test_a_silent_head_ends_the_run_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay()
    monkeypatch.setattr(executor, "_LOOK_EVERY", 1e-9)
    monkeypatch.setattr(executor, "_PATIENCE", 0.0)
    monkeypatch.setattr(executor.socket, "create_connection", _refused)
    with pytest.raises(UserError, match=r"head at 127\.0\.0\.1:9 is gone .*nothing finished is lost"):
        list(started(monkeypatch, fake, tmp_path)(TASKS))
    assert fake.stopped == 1


def _refused(address: object, timeout: float) -> None:
    raise ConnectionRefusedError("refused")
