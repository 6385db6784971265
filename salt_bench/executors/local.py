"""Worker processes on this machine, one thread each; every worker pays its imports once and then takes task after task.

Parent and worker speak lines of JSON over pipes. A worker ends the moment its pipe does, so no worker outlives its parent,
however that died; a worker that dies fails the task that it held, and another one takes its place.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from salt_bench import files
from salt_bench.executors.base import Done, Step, Task, cores
from salt_bench.executors.inbox import heard
from salt_bench.executors.worker import environment, news, outcome

# Ctrl-C reaches the whole process group; it is the parent who decides. Set before the imports, which take seconds.
_START = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from salt_bench.executors.local import serve; serve()"


class Local:
    """`jobs` persistent worker processes; None takes one per core that this process may use. Their stderr goes to `logs`."""

    def __init__(self, jobs: int | None, logs: Path) -> None:
        if jobs is not None and jobs < 1:
            raise ValueError(f"a run needs at least one job, got {jobs}")
        self.workers = jobs or cores()
        self.logs = logs

    def __call__(self, tasks: Sequence[Task]) -> Iterator[Step | Done]:
        waiting, left = deque(tasks), len(tasks)
        inbox: queue.Queue[tuple[_Worker, Any]] = queue.Queue()
        crew: list[_Worker] = []
        try:
            for number in range(min(self.workers, left)):
                crew.append(_Worker(number, self.logs, inbox, waiting.popleft()))
            while left:
                worker, message = inbox.get()
                if worker.stopped:
                    continue
                event = worker.event(message)
                yield event
                if isinstance(event, Done):
                    left -= 1
                    crew[worker.number] = self._go_on(worker, waiting, inbox)
        finally:
            for worker in crew:
                worker.stop()

    def _go_on(self, worker: _Worker, waiting: deque[Task], inbox: queue.Queue[tuple[_Worker, Any]]) -> _Worker:
        """Gives the worker its next task, in a new process where the old one died."""
        if worker.alive and waiting:
            worker.give(waiting.popleft())
            return worker
        worker.stop()
        return _Worker(worker.number, self.logs, inbox, waiting.popleft()) if waiting else worker


class _Worker:
    """The parent's end of one process."""

    def __init__(self, number: int, logs: Path, inbox: queue.Queue[tuple[_Worker, Any]], task: Task) -> None:
        self.number, self.task, self.alive, self.stopped = number, task, True, False
        self.log = logs / f"worker-{number}.log"
        with files.explained(self.log):
            logs.mkdir(parents=True, exist_ok=True)
            with open(self.log, "ab") as stderr:
                pipe = subprocess.PIPE
                command, settings = [sys.executable, "-c", _START], {**os.environ, **environment()}
                self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, env=settings)
        assert self.process.stdout is not None
        threading.Thread(target=_listen, args=(self, self.process.stdout, inbox), daemon=True).start()
        self.give(task)

    def give(self, task: Task) -> None:
        self.task = task
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(dataclasses.asdict(task)).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # it has died; its end of file, which is on the way, says so

    def event(self, message: dict[str, Any] | None) -> Step | Done:
        if message is None:
            self.alive = False
            return Done(self.number, self.task, error=self._obituary())
        return heard(self.number, self.task, message)

    def _obituary(self) -> str:
        code = self.process.wait()
        cause = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        hint = ", as the system does when memory runs out: try fewer --jobs" if code == -signal.SIGKILL else ""
        return f"its worker process ended {cause}{hint} (details: {self.log})"

    def stop(self) -> None:
        """Kills: whatever the worker was at is either on disk or will be made again."""
        self.stopped = True
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            return


def _listen(worker: _Worker, pipe: IO[bytes], inbox: queue.Queue[tuple[_Worker, Any]]) -> None:
    with pipe:
        for line in pipe:
            if line.endswith(b"\n"):  # a killed worker may leave half a line
                inbox.put((worker, json.loads(line)))
    inbox.put((worker, None))


def serve() -> None:
    """A worker's life: tasks from stdin, news to stdout, until stdin ends."""
    from salt_bench.study import perform

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the code under test prints is not ours to parse
    tasks: queue.Queue[Task] = queue.Queue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    while True:
        task = tasks.get()
        out.write(outcome(perform(task, news(out))))


def _read_tasks(tasks: queue.Queue[Task]) -> None:
    for line in sys.stdin:
        tasks.put(Task(**json.loads(line)))
    os._exit(1)  # the parent is gone
