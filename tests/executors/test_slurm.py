"""The Slurm executor on a stand-in for submitit whose jobs run at once, and end where they are told to."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from salt_bench.errors import UserError
from salt_bench.executors import slurm as executor
from salt_bench.executors.base import Done, Step, Task
from salt_bench.executors.slurm import Slurm, SlurmOptions
from salt_bench.executors.worker import letters, outcome

TASKS = [Task("study.py", "default", "work", "models", arm, 0) for arm in "abcdefg"]


class Job:
    """One that has ended: it told of its tasks up to the first that is deadly; only a whole one leaves a result."""

    def __init__(self, number: str, share: Sequence[Task], folder: Path, deadly: str, silent: bool) -> None:
        whole = not any(task.arm in deadly for task in share)
        done = [Done(0, task, judged=True) for task in itertools.takewhile(lambda task: task.arm not in deadly, share)]
        self.job_id, self._done, self.cancelled = number, done, False
        self.paths = SimpleNamespace(result_pickle=folder / f"{number}.pkl", stderr=folder / f"{number}.err")
        if whole:
            self.paths.result_pickle.touch()
        for one in () if silent else done:
            letters(folder, one.task).write_text('{"stage": "train", "fraction": 1.0}\n' + outcome(one))

    def done(self) -> bool:
        return True

    def exception(self) -> None:
        return None

    def result(self) -> list[Done]:
        return self._done

    def cancel(self, check: bool) -> None:
        self.cancelled = True


class FakeSubmitit:
    """`deadly` are the arms that kill their job; where it is `silent`, files are not seen before the result."""

    def __init__(self, deadly: str = "", silent: bool = False, refuses: bool = False) -> None:
        self._deadly, self._silent, self._refuses = deadly, silent, refuses
        self.core = SimpleNamespace(utils=SimpleNamespace(FailedJobError=KeyError, FailedSubmissionError=LookupError))
        self.settings: list[dict[str, Any]] = []
        self.jobs: list[Job] = []
        self.shares: list[list[str]] = []

    def AutoExecutor(self, folder: Path, cluster: str) -> FakeSubmitit:
        return self

    def update_parameters(self, **settings: Any) -> None:
        self.settings.append(settings)

    def map_array(self, function: Any, shares: Sequence[Sequence[Task]], folders: Sequence[Path]) -> list[Job]:
        if self._refuses:
            raise KeyError("invalid partition")
        first = len(self.jobs)
        made = [
            Job(f"7_{first + n}", s, f, self._deadly, self._silent)
            for n, (s, f) in enumerate(zip(shares, folders, strict=True))
        ]
        self.jobs += made
        self.shares += [[task.arm for task in share] for share in shares]
        return made


def measured(monkeypatch: pytest.MonkeyPatch, fake: FakeSubmitit, logs: Path, jobs: int | None, **options: Any) -> list[Any]:
    monkeypatch.setitem(sys.modules, "submitit", fake)
    return list(Slurm(jobs, logs, SlurmOptions(**options))(TASKS))


def test_cells_are_dealt_to_jobs_and_each_ends_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSubmitit()
    events = measured(monkeypatch, fake, tmp_path, 4, cells=3, minutes=10, partition="p", gpus=2, cpus=3)
    assert fake.shares == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert sorted(event.task.arm for event in events if isinstance(event, Done)) == list("abcdefg")
    assert sum(isinstance(event, Step) for event in events) == 7
    (settings,) = fake.settings
    asked = {name: settings[name] for name in ("timeout_min", "slurm_partition", "gpus_per_node", "slurm_array_parallelism")}
    assert asked == {"timeout_min": 30, "slurm_partition": "p", "gpus_per_node": 2, "slurm_array_parallelism": 4}
    assert "slurm_qos" not in settings
    assert "mem_gb" not in settings
    assert list(tmp_path.iterdir()) == []


def test_without_slurm_there_are_as_many_processes_as_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSubmitit()
    measured(monkeypatch, fake, tmp_path, 2, cluster="local")
    assert fake.shares == [["a", "c", "e", "g"], ["b", "d", "f"]]


def test_a_job_that_dies_fails_the_cell_it_was_at_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSubmitit(deadly="cf")
    events = measured(monkeypatch, fake, tmp_path, 1, cluster="local")
    done = [event for event in events if isinstance(event, Done)]
    assert [one.task.arm for one in done] == list("abcdefg")
    assert {one.task.arm: one.error.split(" ended")[0] for one in done if one.error} == {"c": "its job 7_0", "f": "its job 7_1"}
    assert fake.shares == [list("abcdefg"), list("defg"), ["g"]]
    assert len(list(tmp_path.iterdir())) == 1  # where the tracebacks are


def test_files_that_show_late_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = measured(monkeypatch, FakeSubmitit(silent=True), tmp_path, 2, cluster="local")
    assert sorted(event.task.arm for event in events) == list("abcdefg")
    assert all(event.judged and not event.error for event in events)


def test_what_slurm_refuses_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Slurm refused the jobs: 'invalid partition'"):
        measured(monkeypatch, FakeSubmitit(refuses=True), tmp_path, None)


def test_stopping_cancels_what_is_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSubmitit()
    monkeypatch.setitem(sys.modules, "submitit", fake)
    events = Slurm(2, tmp_path, SlurmOptions(cluster="local"))(TASKS)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert [job.cancelled for job in fake.jobs] == [True, True]


def test_a_job_is_gone_when_two_answers_do_not_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, answers = executor._Queue(), iter(["7_0\n7_1\n", "7_1\n", None, "7_1\n", ""])
    first, second = (Job(f"7_{n}", [TASKS[0]], tmp_path, "a", False) for n in range(2))

    def squeue(*_: object, **__: object) -> Any:
        answer = next(answers)
        return SimpleNamespace(returncode=int(answer is None), stdout=answer or "")

    monkeypatch.setattr(executor.subprocess, "run", squeue)
    monkeypatch.setattr(executor, "_QUEUE_EVERY", -1.0)
    gone = [queue.gone(first, [first, second]) for _ in range(4)]
    assert gone == [False, False, False, True]  # the third time, Slurm did not answer
    assert not queue.gone(second, [second])
