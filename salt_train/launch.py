"""Training from the command line: a progress bar, and as many processes as asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from salt_bench import record
from salt_bench.errors import UserError
from salt_bench.types import Log
from salt_train.layout import PLAIN, Layout
from salt_train.recipe import Recipe, checkpoints, read


def train(recipe: Recipe, runs: Path, processes: int, layout: Layout = PLAIN) -> None:
    """Trains `recipe`, its earlier stages first, with a bar and the time left. More than one process is a torchrun job."""
    import torch

    from salt_train.parallel import check_heads, parts

    check_heads(recipe, layout)
    parts(recipe.batch, processes, layout)  # said at once, not after the teacher
    torch.set_num_threads(1)  # the teacher too: sums depend on how they are cut among threads
    for stage in recipe.before:
        if not stage.made(stage.seed, runs):
            with bar("before") as log:
                stage.prepare(stage.seed, runs, log)
    if processes == 1:
        _here(recipe, runs, layout)
        return
    with written(recipe, layout) as (path, plan):
        job(processes, "salt_train.launch", path, runs, plan)


def train_all(recipe: Recipe, runs: Path, processes: int, layout: Layout) -> None:
    """As `train`, its earlier stages under the same layout: networks that need GPUs need them from the first stage on. Those
    with Muon, which wants whole matrices, are the embedded world's, and are trained as ever."""
    for stage in recipe.before:
        if not stage.optimiser.muon and not stage.made(stage.seed, runs):
            train_all(stage, runs, processes, layout)
    train(recipe, runs, processes, layout)


@contextmanager
def written(recipe: Recipe, layout: Layout) -> Iterator[tuple[Path, Path]]:
    """Inside, files of both, for the processes of a job."""
    with tempfile.TemporaryDirectory() as folder:
        path, plan = Path(folder) / "recipe.json", Path(folder) / "layout.json"
        path.write_text(record.text(recipe))
        plan.write_text(record.text(layout))
        yield path, plan


def job(processes: int, module: str, *words: object) -> None:
    """Runs a module with these words in as many processes, as torchrun does.

    Raises UserError where one of them fails."""
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", module]
    said = [sys.executable, *command, *map(str, words)]
    done = subprocess.run(said, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False, preexec_fn=_ends_with_us)
    if done.returncode:
        raise UserError(f"{processes} processes ended with exit code {done.returncode}; see the messages above")


def _ends_with_us() -> None:
    """Runs in the child: the system ends the job when its parent dies, however that dies (Linux's PR_SET_PDEATHSIG)."""
    import ctypes
    import signal

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _here(recipe: Recipe, runs: Path, layout: Layout) -> None:
    from salt_train.train import train

    with joined(layout), bar("train", quiet=os.environ.get("RANK", "0") != "0") as log:
        train(recipe, checkpoints(runs), log, layout)


@contextmanager
def joined(layout: Layout) -> Iterator[None]:
    """Inside, this process is one of its job, if there is one."""
    import torch
    import torch.distributed as dist

    from salt_train.parallel import start

    torch.set_num_threads(1)
    there = start(layout)
    try:
        yield
    finally:
        if there:
            dist.destroy_process_group()


@contextmanager
def bar(title: str, quiet: bool = False) -> Iterator[Log]:
    """A progress bar with elapsed time and time left, as a log."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda _, fraction: progress.update(task, completed=fraction)


def main() -> None:
    """One process of a torchrun job: recipe file, work folder and, if it is not the usual one, the layout's file."""
    recipe, runs, *plan = map(Path, sys.argv[1:])
    layout = record.load(json.loads(plan[0].read_text())) if plan else PLAIN
    _here(read(recipe), runs, layout)


if __name__ == "__main__":
    main()
