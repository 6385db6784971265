"""Worker processes over videos, one thread each. A video that kills its worker costs its own rows and nobody else's."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from salt_bench.judges.vbench.engine import Done, Engine, Job, failed

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_DIED = "its worker process died, as it does where memory runs out or a decoder crashes"


def judge_all(engine: Engine, jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    """The jobs as they are finished, in no order. Closing the iterator stops all work at once."""
    waiting = deque(jobs)
    while waiting:
        suspects: list[Job] = []
        yield from _work(engine, waiting, min(workers, len(waiting)), suspects)
        for job in suspects:  # one of those at work has killed its process: tried alone, it is found out
            again: list[Job] = []
            yield from _work(engine, deque([job]), 1, again)
            yield from (failed(one, _DIED) for one in again)


def _work(engine: Engine, waiting: deque[Job], workers: int, suspects: list[Job]) -> Iterator[Done]:
    """Takes jobs from `waiting`; where a worker dies, those that were at work are left in `suspects`."""
    running: dict[Future[Done], Job] = {}
    with _pool(engine, workers) as pool:
        while waiting or running:
            try:
                while waiting and len(running) < workers:
                    running[pool.submit(_judge, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield future.result()
                    del running[future]
            except BrokenProcessPool:
                suspects.extend(running.values())
                return


@contextmanager
def _pool(engine: Engine, workers: int) -> Iterator[ProcessPoolExecutor]:
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read when numpy and torch load, so before the workers start
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (engine,))
    try:
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):
            process.kill()  # whatever it was at is either on disk or will be made again
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


_ENGINES: list[Engine] = []


def _begin(engine: Engine) -> None:
    """A worker's start: Ctrl-C is the parent's to handle, and a worker never outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _ENGINES.append(engine)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _judge(job: Job) -> Done:
    return _ENGINES[-1](job)
