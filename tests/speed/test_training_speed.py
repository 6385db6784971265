"""Core-seconds of an update, what self-consistency adds to it, and how much of the machine it uses.

All methods take turns, update by update, so that a busy machine slows them alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from table import Figure, core_seconds, note
from torch.utils.flop_counter import FlopCounterMode

from salt_train.methods.dmd import dmd
from salt_train.methods.sc_dmd import sc_dmd
from salt_train.methods.teacher import teacher
from salt_train.recipe import Recipe
from salt_train.steps import Steps
from salt_train.train import build, update

RECIPES = {"teacher": teacher(), "DMD-4": dmd(4), "DMD-8": dmd(8), "SC-DMD": sc_dmd()}
ROUNDS = 24
SIDE = 1024  # of the matrices whose product is the machine's peak


def updates(recipe: Recipe, root: Path) -> Callable[[int], Any]:
    nets, steps = build(recipe, root), Steps(recipe, root)
    return lambda i: update(nets, recipe, steps, i)


def flops(run: Callable[[int], Any], i: int) -> float:
    with FlopCounterMode(display=False) as counter:
        run(i)
    return float(counter.get_total_flops())


def test_training(benchmark: Any, root: Path) -> None:
    runs = {name: updates(recipe, root) for name, recipe in RECIPES.items()}
    work = {name: [flops(run, i) for i in range(ROUNDS)] for name, run in runs.items()}  # this warms up, too
    square = torch.randn(SIDE, SIDE)
    seconds: dict[str, list[float]] = {name: [] for name in (*runs, "product")}

    def everyone() -> None:
        i = len(seconds["product"])
        for name, run in runs.items():
            seconds[name].append(core_seconds(partial(run, i)))
        seconds["product"].append(core_seconds(lambda: square @ square))

    benchmark.pedantic(everyone, rounds=ROUNDS)
    peak = 2 * SIDE**3 / min(seconds["product"])
    for name in runs:
        note(Figure(f"{name}, one update", statistics.median(seconds[name]), "core-s"))
    pairs = zip(seconds["SC-DMD"], seconds["DMD-8"], strict=True)
    note(Figure("SC-DMD over DMD-8, median of pairs", statistics.median(a / b for a, b in pairs), "", 1.2, -1))
    note(Figure(f"product of {SIDE}×{SIDE} matrices, best", peak / 1e9, "GFLOP/s"))
    for name in ("teacher", "DMD-8"):
        note(Figure(f"{name}, share of that product's FLOP/s", sum(work[name]) / sum(seconds[name]) / peak, "", 0.45))
    assert work["DMD-8"][0] > 10 * 8 * parameters(RECIPES["DMD-8"], root), "the counter sees the products"


def parameters(recipe: Recipe, root: Path) -> int:
    return sum(p.numel() for p in build(recipe, root).student.parameters())


@pytest.mark.parametrize("better", [1, -1])
def test_a_verdict_turns_with_its_direction(better: int, benchmark: Any) -> None:
    found = benchmark.pedantic(lambda: [Figure("x", v, "", 1.0, better).reached for v in (0.5, 1.0, 2.0)], rounds=1)
    assert found == ([False, True, True] if better > 0 else [True, True, False])
