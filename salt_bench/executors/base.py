"""What an executor is: tasks in, events out. A task is plain data, so that any machine that has the code can do it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Task:
    """One cell to measure: the study file and scale it stands in, the two folders of `salt_bench.cell.Place`, its key, and how
    many processes train its model together."""

    study: str
    scale: str
    work: str
    models: str
    arm: str
    train_seed: int
    processes: int = 1

    def __str__(self) -> str:
        return f"{self.arm} seed {self.train_seed}"


@dataclass(frozen=True)
class Step:
    """A worker's news of a task: the part, 0 to 1, of a stage that is done."""

    worker: int
    task: Task
    stage: str
    fraction: float


@dataclass(frozen=True)
class Done:
    """The end of a task. `error` is "" or one line that says why it failed; seconds are per stage."""

    worker: int
    task: Task
    trained: bool = False
    judged: bool = False
    wall: dict[str, float] = field(default_factory=dict)
    core: dict[str, float] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Width:
    """What a run will hold: how many `cells` at once (None: as many as its cluster starts), and per cell so many `gpus` and
    `processes` that train its model together."""

    cells: int | None
    gpus: float = 0.0
    processes: int = 1


class Executor(Protocol):
    """Yields news as they come and exactly one Done per task; closing the iterator stops all work at once."""

    @property
    def workers(self) -> int: ...
    def __call__(self, tasks: Sequence[Task]) -> Iterator[Step | Done]: ...


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))
