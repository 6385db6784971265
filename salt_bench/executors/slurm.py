"""Cells as an array of Slurm jobs, through submitit; `cluster=local` runs the same jobs as processes of this machine.

All nodes see the study's folders and this package under the same paths. A job that Slurm preempts or that runs out of time is
queued again and goes on where it stood, three times; one that dies fails the cell that it was at, and the rest of its cells is
submitted anew.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salt_bench.errors import UserError, WrongUse
from salt_bench.executors.base import Done, Step, Task, cores
from salt_bench.executors.inbox import Inbox
from salt_bench.executors.worker import environment, report

_ARRAY = 1000  # jobs: what a Slurm that nobody configured otherwise allows in one array
_WAIT = {"slurm": 2.0, "local": 0.2}  # seconds between two looks at the jobs
_QUEUE_EVERY = 10.0  # seconds between two questions to squeue
_MISSING = "the executor slurm needs submitit: pip install 'salt-bench[slurm]'"
_CAUSES = "killed, out of memory or out of time"
_SLURM_ONLY = ("partition", "account", "qos", "constraint")


@dataclass(frozen=True)
class SlurmOptions:
    """`minutes` is the time limit of a cell, `cells` how many a job measures one after the other (a start takes seconds). What
    a job holds: `cpus` (it computes with as many threads), `gpus`, `memory_gb`; 0 and "" leave the choice to Slurm."""

    cluster: str = "slurm"
    partition: str = ""
    minutes: int = 720
    cells: int = 1
    cpus: int = 1
    gpus: int = 0
    processes: int = 0
    memory_gb: int = 0
    account: str = ""
    qos: str = ""
    constraint: str = ""

    def __post_init__(self) -> None:
        if self.cluster not in _WAIT or min(self.minutes, self.cells, self.cpus) < 1:
            raise WrongUse(f"cluster is one of {', '.join(_WAIT)}, and minutes, cells and cpus are at least 1, got {self}")


class Share:
    """What one job does; submitit calls `checkpoint` where the job is to be queued again."""

    def __call__(self, tasks: Sequence[Task], folder: Path) -> list[Done]:
        return [report(task, folder) for task in tasks]

    def checkpoint(self, tasks: Sequence[Task], folder: Path) -> Any:
        import submitit

        return submitit.helpers.DelayedSubmission(self, tasks, folder)


class Slurm:
    """At most `jobs` jobs at once; None takes as many as Slurm starts, or, without Slurm, one per core."""

    def __init__(self, jobs: int | None, logs: Path, options: SlurmOptions) -> None:
        self._submitit, self._logs, self._options = _library(), logs, options
        here = cores() if options.cluster == "local" else _ARRAY
        self.workers = min(jobs or here, _ARRAY)

    def __call__(self, tasks: Sequence[Task]) -> Iterator[Step | Done]:
        if tasks:
            yield from self._measured(tasks, Inbox(self._logs, "slurm"))

    def _measured(self, tasks: Sequence[Task], inbox: Inbox) -> Iterator[Step | Done]:
        array, failed = _Array(inbox, self._options.cluster), False
        try:
            array.out |= self._submit(self._dealt(tasks), inbox.folder)
            while array.out:
                ended = array.ended()
                for event in (*array.news(), *array.last_words(ended)):
                    failed |= isinstance(event, Done) and bool(event.error)
                    yield event
                rests = [array.out.pop(job) for job in ended]
                array.out |= self._submit([rest for rest in rests if rest], inbox.folder)
                if not ended:
                    time.sleep(_WAIT[self._options.cluster])
        finally:
            for job in array.out:
                job.cancel(check=False)
        if not failed:
            inbox.remove()

    def _dealt(self, tasks: Sequence[Task]) -> list[list[Task]]:
        """The shares of the jobs, dealt like cards: what takes longest comes first in `tasks`."""
        most = self.workers if self._options.cluster == "local" else _ARRAY
        count = min(most, -(-len(tasks) // self._options.cells))
        return [list(tasks[number::count]) for number in range(count)]

    def _submit(self, shares: Sequence[list[Task]], folder: Path) -> dict[Any, list[Task]]:
        """job → the tasks that it has still to end."""
        if not shares:
            return {}
        executor = self._executor(folder, max(map(len, shares)))
        try:
            with _surrounded(environment(self._options.cpus)):
                jobs = executor.map_array(Share(), [tuple(share) for share in shares], [folder] * len(shares))
        except (self._submitit.core.utils.FailedJobError, self._submitit.core.utils.FailedSubmissionError) as error:
            raise UserError(f"Slurm refused the jobs: {' '.join(str(error).split())}") from error
        return dict(zip(jobs, shares, strict=True))

    def _executor(self, folder: Path, cells: int) -> Any:
        options = self._options
        try:
            executor = self._submitit.AutoExecutor(folder=folder / "jobs", cluster=options.cluster)
        except RuntimeError as error:
            raise UserError(f"no Slurm on this machine: {error}; cluster=local measures without it") from error
        settings = {f"slurm_{name}": vars(options)[name] for name in _SLURM_ONLY if vars(options)[name]}
        settings |= {"gpus_per_node": options.gpus} if options.gpus else {}
        settings |= {"mem_gb": options.memory_gb} if options.memory_gb else {}
        executor.update_parameters(
            name="salt-bench",
            timeout_min=options.minutes * cells,
            cpus_per_task=options.cpus,
            slurm_array_parallelism=self.workers,
            **settings,
        )
        return executor


def _library() -> Any:
    try:
        import submitit
    except ImportError:
        raise WrongUse(_MISSING) from None
    return submitit


@contextlib.contextmanager
def _surrounded(variables: dict[str, str]) -> Iterator[None]:
    """Jobs inherit the environment that they are submitted in."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Array:
    """The jobs that are out, each with the tasks that it has still to end."""

    def __init__(self, inbox: Inbox, cluster: str) -> None:
        self._inbox, self._queue, self._cluster = inbox, _Queue(), cluster
        self.out: dict[Any, list[Task]] = {}

    def ended(self) -> list[Any]:
        """The jobs whose end is known, ill or well."""
        if self._cluster == "local":
            return [job for job in self.out if job.done()]
        return [job for job in self.out if self._queue.gone(job, self.out)]

    def news(self) -> Iterator[Step | Done]:
        """What the tasks have said since."""
        for share in self.out.values():
            for event in self._inbox.events(tuple(share)):
                yield self._ended(share, event) if isinstance(event, Done) else event

    def last_words(self, jobs: Sequence[Any]) -> Iterator[Done]:
        """Of jobs that have ended: what is in their results only, because files show late; else the end of the task that each
        was at."""
        for job in jobs:
            share = self.out[job]
            told = [done for done in _result(job) if done.task in share]
            if share and not told:
                told = [
                    Done(
                        0, share[0], error=f"its job {job.job_id} ended without an outcome: {_CAUSES} (see {job.paths.stderr})"
                    )
                ]
            yield from (self._ended(share, done) for done in told)

    def _ended(self, share: list[Task], done: Done) -> Done:
        share.remove(done.task)
        numbered = replace(done, worker=self._inbox.number(done.task))
        self._inbox.free(done.task)
        return numbered


def _result(job: Any) -> list[Done]:
    """What the job's tasks came to, where it got so far as to say."""
    if not job.paths.result_pickle.is_file() or job.exception() is not None:
        return []
    done: list[Done] = job.result()
    return done


class _Queue:
    """Which jobs have left Slurm's queue. submitit asks the accounting, which not every Slurm has, and asks it rarely."""

    def __init__(self) -> None:
        self._asked, self._absent = 0.0, dict[str, int]()

    def gone(self, job: Any, out: Collection[Any]) -> bool:
        """Whether its result is there, or two answers in a row did not name it: a file system may show a result late."""
        if job.paths.result_pickle.exists():
            return True
        if time.monotonic() - self._asked > _QUEUE_EVERY:
            self._asked = time.monotonic()
            self._ask({one.job_id for one in out})
        return self._absent.get(job.job_id, 0) >= 2

    def _ask(self, jobs: Collection[str]) -> None:
        command = ["squeue", "--noheader", "--array", "--format=%i", "--user", str(os.getuid())]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            return  # the controller is busy or away: no news
        queued = set(answer.stdout.split())
        self._absent = {job: 0 if job in queued else self._absent.get(job, 0) + 1 for job in jobs}
