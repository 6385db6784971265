"""A process of two never holds more than its half of the networks, and one tensor more, while they are built."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

import torch.distributed.fsdp  # noqa: F401  # its own memory is none of the networks'
from crews import together

from salt_bench import record
from salt_train import checkpoint, codecs
from salt_train.backbones.wan import WanSpec
from salt_train.layout import Layout
from salt_train.methods.dmd import dmd
from salt_train.methods.teacher import teacher
from salt_train.recipe import Recipe
from salt_train.train import build

SPEC = WanSpec(1024, 8, 5, 4096)
LARGEST = 4 * 1024 * 4096  # bytes of a tensor


def memory() -> int:
    """Bytes of this process's own memory; pages of files that are mapped do not count."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


@contextmanager
def watched(peak: list[int]) -> Iterator[None]:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            peak.append(memory())
            time.sleep(0.002)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def written(recipe: Recipe, root: Path) -> int:
    """Writes a checkpoint of `recipe` with random weights: its bytes."""
    words = codecs.captions(recipe.world, recipe.text).words
    net = recipe.backbone.build(recipe.codec.shape(), words, codecs.fitted(recipe.codec, root).std)
    checkpoint.finish(root / recipe.fingerprint(), net.state_dict(), [], record.dump(recipe))
    return sum(4 * p.numel() for p in net.parameters())


@pytest.mark.parametrize("ranks", [2, 4])
def test_building_takes_a_processs_share_and_a_tensor(ranks: int, tmp_path: Path) -> None:
    recipe = replace(dmd(), backbone=SPEC, teacher=replace(teacher(), backbone=SPEC))
    assert recipe.teacher is not None
    whole = written(recipe.teacher, tmp_path)
    share = 4 * whole / ranks  # student, average, critic and teacher

    def work() -> None:
        peak = [memory()]
        with watched(peak):
            nets = build(recipe, tmp_path, Layout(shard=True))
        taken = max(peak) - peak[0]
        print(f"of {ranks}: {taken / 1e6:.0f} MB; its share is {share / 1e6:.0f} MB, one network {whole / 1e6:.0f} MB")
        assert nets.teacher is not None
        assert 0.9 * share < taken < share + 2 * LARGEST

    together(ranks, work)
