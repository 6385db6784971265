"""A worker's end: the environment that it is started in, and what it says of its task, as lines of JSON.

They go over a pipe, or into a file of a folder that both sides see: a study's work folder is one already.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import IO

import salt_bench
from salt_bench import files
from salt_bench.executors.base import Done, Task
from salt_bench.types import Log

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_OUTCOME = ("trained", "judged", "wall", "core", "error")
_NEWS_EVERY = 0.2  # seconds
_NEWS_EVERY_IN_FILES = 2.0


def environment(threads: int = 1) -> dict[str, str]:
    """What is set before numpy and torch load: the number of threads, and the folder that this package was found in.

    Sums depend on how they are cut among threads: executors agree to the byte where they agree on this number."""
    home = str(Path(salt_bench.__file__).parent.parent)
    path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH", "")) if part)
    return {**dict.fromkeys(_THREADS, str(threads)), "PYTHONPATH": path}


def outcome(done: Done) -> str:
    """The line that says how a task ended."""
    fields = dataclasses.asdict(done)
    return json.dumps({name: fields[name] for name in _OUTCOME}) + "\n"


def news(out: IO[str], every: float = _NEWS_EVERY) -> Log:
    """A log that tells of every new stage at once, and of the rest every so many seconds."""
    last: tuple[str, float] = ("", 0.0)

    def log(stage: str, fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or now - last[1] > every:
            last = (stage, now)
            out.write(json.dumps({"stage": stage, "fraction": float(fraction)}) + "\n")

    return log


def letters(folder: Path, task: Task) -> Path:
    """The file in which a task tells of itself; its log, where tracebacks go, has the ending .log."""
    return folder / f"{files.slug(task.arm)}-seed{task.train_seed}.jsonl"


def report(task: Task, folder: Path) -> Done:
    """Measures one cell; its news and its outcome are lines of its file in `folder`."""
    from salt_bench.study import perform

    path = letters(folder, task)
    with open(path, "a", buffering=1) as out, open(path.with_suffix(".log"), "a") as errors:
        out.write("\n")  # ends the half line that a killed predecessor may have left
        with contextlib.redirect_stderr(errors):
            done = perform(task, news(out, _NEWS_EVERY_IN_FILES))
        out.write(outcome(done))
    return done
