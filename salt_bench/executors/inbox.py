"""The parent's end of workers that are not its children: reads what their tasks say in files (see `worker.report`)."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from salt_bench import files
from salt_bench.executors.base import Done, Step, Task
from salt_bench.executors.worker import letters


def heard(number: int, task: Task, message: Mapping[str, Any]) -> Step | Done:
    """What a line of a worker says."""
    return Step(number, task, **message) if "stage" in message else Done(number, task, **message)


class Inbox:
    """A new folder for one run; every task that is out has a number, the smallest that is free when it is first asked for."""

    def __init__(self, logs: Path, name: str) -> None:
        with files.explained(logs):
            logs.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=logs))
        self._numbers: dict[Task, int] = {}
        self._read: dict[Task, int] = {}

    def number(self, task: Task) -> int:
        taken = set(self._numbers.values())
        return self._numbers.setdefault(task, next(n for n in itertools.count() if n not in taken))

    def log(self, task: Task) -> Path:
        """Where the tracebacks of a task are."""
        return letters(self.folder, task).with_suffix(".log")

    def events(self, tasks: Iterable[Task]) -> Iterator[Step | Done]:
        """What is new of `tasks`."""
        for task in tasks:
            yield from (heard(self.number(task), task, message) for message in self._fresh(task))

    def free(self, task: Task) -> None:
        """The task has ended: its number may be given again."""
        self._numbers.pop(task, None)

    def _fresh(self, task: Task) -> Iterator[Mapping[str, Any]]:
        try:
            with open(letters(self.folder, task), "rb") as file:
                file.seek(self._read.get(task, 0))
                whole, end, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        self._read[task] = self._read.get(task, 0) + len(whole) + len(end)
        for line in whole.splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # empty, or cut short by a kill

    def remove(self) -> None:
        """Nothing went wrong: nobody needs these files."""
        shutil.rmtree(self.folder, ignore_errors=True)
