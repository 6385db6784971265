"""One task after the other in this process: for debuggers and for machines that refuse child processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from salt_bench.executors.base import Done, Step, Task


class Inline:
    """Reports each task when it starts and when it ends."""

    workers = 1

    def __call__(self, tasks: Sequence[Task]) -> Iterator[Step | Done]:
        from salt_bench.study import perform

        for task in tasks:
            yield Step(0, task, "start", 0.0)
            yield perform(task, lambda stage, fraction: None)
