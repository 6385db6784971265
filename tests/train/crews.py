"""Several processes of one run, forked from this one, which has imported everything already."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from causal_parts import causal
from tiny import GRID2, GRID4, GRID8, quiet, student

from salt_bench.types import Log
from salt_train import train as training
from salt_train.layout import PLAIN, Layout
from salt_train.objectives.base import Objective
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.dmd import DMD
from salt_train.objectives.gate import Gate
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.parallel import start
from salt_train.recipe import Recipe

KILLED = 9
FORK = multiprocessing.get_context("fork")
MIXED = ((GRID8, 0.4), (GRID4, 0.4), (GRID2, 0.2))
ALIGNED = Gate(CacheAlignment(((GRID2, GRID4), (GRID4, GRID8)), 0.1, margin=0.0, tap=0), (2, 4))
SALT: tuple[Objective, ...] = (DMD(), Gate(SelfConsistency(), (8,)), ALIGNED)


def dmd(steps: int = 20) -> Recipe:
    return replace(student(DMD(), steps=steps), batch=4)


def sc_dmd(steps: int = 20) -> Recipe:
    return replace(student(steps=steps), batch=4)


def salt(steps: int = 20) -> Recipe:
    """The cache-aware method: mixed steps, self-consistency at 8, alignment at 2 and 4."""
    return replace(causal(*SALT, steps=steps, mixed=MIXED), batch=4)


def together(ranks: int, work: Callable[[], object], ends: tuple[int, ...] = (0,)) -> None:
    """`work` in `ranks` processes as torchrun would start them; each ends with one of `ends`."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    crew = [FORK.Process(target=_one, args=(rank, ranks, port, work)) for rank in range(ranks)]
    for process in crew:
        process.start()
    for process in crew:
        process.join(120)
        process.kill()
    assert all(process.exitcode in ends for process in crew), [process.exitcode for process in crew]


def _one(rank: int, ranks: int, port: str, work: Callable[[], object]) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    torch.set_num_threads(1)
    code = 0
    try:
        start(PLAIN)
        work()
        dist.destroy_process_group()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


def trained(
    recipe: Recipe, root: Path, ranks: int, layout: Layout = PLAIN, log: Log = quiet, ends: tuple[int, ...] = (0,)
) -> None:
    if ranks == 1 and not layout.sharded and ends == (0,):
        training.train(recipe, root, log, layout)
    else:
        together(ranks, lambda: training.train(recipe, root, log, layout), ends)


def kill_after(updates: int, total: int) -> Log:
    """Kills its process, without a word, after so many updates."""

    def log(stage: str, fraction: float) -> None:
        if round(fraction * total) == updates:
            os._exit(KILLED)

    return log


def losses(recipe: Recipe, root: Path) -> list[dict[str, float]]:
    lines = (root / recipe.fingerprint() / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def close(one: list[dict[str, float]], two: list[dict[str, float]], relative: float = 1e-5, absolute: float = 1e-7) -> bool:
    """Whether two logs say the same. The tolerance is for sums in another order, over some twenty updates; a distance of
    cosines near 1, as alignment has it, is known to 1e-7 only."""
    assert [row.keys() for row in one] == [row.keys() for row in two]
    pairs = [(a[name], b[name]) for a, b in zip(one, two, strict=True) for name in a]
    return all(abs(x - y) <= max(absolute, relative * abs(x)) for x, y in pairs)
