"""Cells on a Ray cluster: a running one, or one that is started on this machine for this run.

All nodes see the study's folders and this package under the same paths. A cell whose worker or node dies is tried once more.
The results are on disk, not in Ray: whatever happens to the cluster, the same command measures what is still missing.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salt_bench.errors import UserError, WrongUse
from salt_bench.executors.base import Done, Step, Task, cores
from salt_bench.executors.inbox import Inbox
from salt_bench.executors.worker import environment, report

_WAIT = 0.2  # seconds between two looks at what has ended
_LOOK_EVERY = 2.0  # seconds between two looks at the head
_PATIENCE = 20.0  # seconds without a head; Ray itself ends this process, without a word of ours, after 60
_STORE = 100_000_000  # bytes: only tasks and outcomes pass through it
_MISSING = "the executor ray needs Ray: pip install 'salt-bench[ray]'"


@dataclass(frozen=True)
class RayOptions:
    """`address`: "local" starts a cluster, "auto" finds the one of this machine, else host:port of a head. `cpus` and `gpus`
    are what one cell holds, on one node; it computes with `cpus` threads. `processes` train its model together, 0: one per
    GPU."""

    address: str = "local"
    cpus: int = 1
    gpus: float = 0.0
    processes: int = 0

    def __post_init__(self) -> None:
        if self.cpus < 1 or self.gpus < 0:
            raise WrongUse(f"a cell holds at least one CPU and no fewer than 0 GPUs, got {self}")


class Ray:
    """At most `jobs` cells at once; None takes as many as the cluster has room for."""

    def __init__(self, jobs: int | None, logs: Path, options: RayOptions) -> None:
        self._ray, self._logs, self._options = _connected(options, jobs), logs, options
        room = sum(_room(node["Resources"], options) for node in self._ray.nodes() if node["Alive"])
        if not room:
            self._ray.shutdown()
            raise WrongUse(f"no node of the Ray cluster at {options.address} has room for a cell that holds {options}")
        self.workers = min(jobs or room, room)
        self._out_at_once = jobs or 4 * room  # a cluster that can grow sees that it should

    def __call__(self, tasks: Sequence[Task]) -> Iterator[Step | Done]:
        try:
            yield from self._measured(tasks, Inbox(self._logs, "ray"))
        finally:
            self._ray.shutdown()  # ends this run's workers, and the cluster where it is this run's own

    def _measured(self, tasks: Sequence[Task], inbox: Inbox) -> Iterator[Step | Done]:
        crowd, head, failed = _Crowd(self._ray, self._options, inbox, tasks), _Head.of(self._ray), False
        while crowd.busy:
            crowd.send(self._out_at_once)
            for done in crowd.ended():
                failed |= bool(done.error)
                yield done
            yield from (event for event in inbox.events(crowd.out.values()) if isinstance(event, Step))
            head.check()
        if not failed:
            inbox.remove()


class _Crowd:
    """The tasks of a run: waiting, out, or tried a second time."""

    def __init__(self, ray: Any, options: RayOptions, inbox: Inbox, tasks: Sequence[Task]) -> None:
        self._ray, self._inbox, self._waiting = ray, inbox, deque(tasks)
        self._again: set[Task] = set()
        self.out: dict[Any, Task] = {}
        # Retries are counted here: Ray retries without end what the system kills for its memory.
        self._report = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0)(report)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self.out)

    def send(self, most: int) -> None:
        """Has up to `most` tasks out at once."""
        while self._waiting and len(self.out) < most:
            task = self._waiting.popleft()
            self.out[self._report.remote(task, self._inbox.folder)] = task

    def ended(self) -> Iterator[Done]:
        """Those of a moment's waiting; a task whose worker died for the first time waits again instead."""
        for reference in self._ray.wait(list(self.out), timeout=_WAIT)[0]:
            task = self.out.pop(reference)
            done = self._outcome(reference, task)
            if done is None and task not in self._again:
                self._again.add(task)
                self._waiting.append(task)
                continue
            done = done or Done(0, task, error=f"its Ray worker died, twice (details: {self._inbox.log(task)})")
            yield replace(done, worker=self._inbox.number(task))
            self._inbox.free(task)

    def _outcome(self, reference: Any, task: Task) -> Done | None:
        """None where the worker died: `report` itself fails only where it cannot be run or cannot write."""
        try:
            done: Done = self._ray.get(reference)
            return done
        except self._ray.exceptions.RayTaskError as error:
            return Done(0, task, error=f"it could not be run on its node: {' '.join(str(error.cause).split())}")
        except self._ray.exceptions.RayError:
            return None


def _connected(options: RayOptions, jobs: int | None) -> Any:
    """The module ray, connected to the cluster."""
    try:
        import ray
    except ImportError:
        raise WrongUse(_MISSING) from None
    settings: dict[str, Any] = {"address": options.address, "log_to_driver": False, "logging_level": "ERROR"}
    if options.address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a measurement calls nobody
        room = cores() if jobs is None else jobs * options.cpus
        settings |= {"num_cpus": room, "include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(runtime_env={"env_vars": environment(options.cpus)}, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise UserError(f"no Ray cluster at {options.address!r}: {words}; address=local starts one") from error
    return ray


def _room(resources: Mapping[str, float], options: RayOptions) -> int:
    """How many cells a node with these resources holds."""
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    return int(min(cpus // options.cpus, gpus // options.gpus if options.gpus else cpus))


@dataclass
class _Head:
    """Whether the cluster's head still answers; where it does not, Ray waits without a word."""

    address: tuple[str, int]
    looked: float
    answered: float

    @classmethod
    def of(cls, ray: Any) -> _Head:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        return cls((host, int(port)), time.monotonic(), time.monotonic())

    def check(self) -> None:
        """Raises UserError once it has been silent for too long."""
        now = time.monotonic()
        if now - self.looked < _LOOK_EVERY:
            return
        self.looked = now
        try:
            socket.create_connection(self.address, timeout=_LOOK_EVERY).close()
            self.answered = now
        except OSError as error:
            if now - self.answered > _PATIENCE:
                where = f"the Ray head at {self.address[0]}:{self.address[1]} is gone ({error})"
                raise UserError(f"{where}; nothing finished is lost: start it and run the same command again") from error
