"""One process of a torchrun job that builds networks, and says how much memory that took; fresh, since a process that had more
before gives nothing back. Its words: the folder of checkpoints, and where to write."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch.distributed.fsdp  # noqa: F401  # what libraries take is none of the networks'
from diffusers import WanTransformer3DModel  # noqa: F401

from salt_train.backbones.wan import WanSpec
from salt_train.layout import Layout
from salt_train.methods.dmd import dmd
from salt_train.methods.teacher import teacher
from salt_train.parallel import start
from salt_train.recipe import Recipe
from salt_train.train import build

SPEC = WanSpec(1024, 8, 5, 4096)
SHARDED = Layout(shard=True)


def recipe() -> Recipe:
    """DMD with networks of hundreds of megabytes."""
    return replace(dmd(), backbone=SPEC, teacher=replace(teacher(), backbone=SPEC))


def memory() -> int:
    """Bytes of this process's own memory; pages of files that are mapped do not count."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


@contextmanager
def watched(seen: list[int]) -> Iterator[None]:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.append(memory())
            time.sleep(0.002)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def main() -> None:
    root, found = map(Path, sys.argv[1:])
    start(SHARDED)
    seen = [memory()]
    with watched(seen):
        nets = build(recipe(), root, SHARDED)
    assert nets.teacher is not None
    (found / os.environ["RANK"]).write_text(str(max(seen) - seen[0]))


if __name__ == "__main__":
    main()
