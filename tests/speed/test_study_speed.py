"""What two thousand cells cost that are as small as a cell can be: all of it is the engine's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from table import Figure, core_seconds, note

sys.path.insert(0, str(Path(__file__).parent.parent))

import toy

from salt_bench import publish, results, study, timings
from salt_bench.executors.inline import Inline
from salt_bench.progress import Display, Forecast
from salt_bench.report import page
from salt_bench.study import Outcome, Plan

ARMS, SEEDS = 100, 20
TINY = "prompts=PROMPTS[2:4], setjudges=(), probes=(), settings={'1 step': (1.0,)}"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    study._module_names.cache_clear()
    folder = tmp_path_factory.mktemp("scale")
    arms = f'{{f"arm {{i:03d}}": ToyArm(i % 7, steps=1) for i in range({ARMS})}}'
    path = toy.write_study(folder, arms, f'train_seeds=range({SEEDS}), baseline="arm 000", {TINY}')
    return study.make_plan(path, runs=folder / "runs")


def fill(plan: Plan) -> Outcome:
    """As the command does it, with its progress on a console that nobody watches."""
    wanted = study.missing(plan, print)
    tasks = [plan.task(cell) for cell in wanted]
    forecast = Forecast(tasks, 1, plan.study.anchors, timings.longest(timings.read(plan.place.work)))
    with Display(forecast, Console(file=StringIO())) as display:
        return study.run(plan, wanted, Inline(), display)


def measure(benchmark: Any, name: str, unit: str, goal: float, work: Callable[[], object], parts: int = 1) -> None:
    """Once: the second time, there would be nothing left to do."""
    began = time.perf_counter()
    found = benchmark.pedantic(lambda: core_seconds(work), rounds=1)
    print(f"{name}: {time.perf_counter() - began:.2f} s on the clock")
    note(Figure(name, found / parts, unit, goal, better=-1))


def test_cells(benchmark: Any, plan: Plan) -> None:
    assert len(plan.cells) == ARMS * SEEDS + 1
    measure(benchmark, "study of 2,001 cells, each", "core-s", 0.005, lambda: fill(plan), len(plan.cells))
    assert study.missing(plan, print) == []


def test_resuming(benchmark: Any, plan: Plan) -> None:
    measure(benchmark, "study of 2,001 cells, nothing to do", "core-s", 5.0, lambda: fill(plan))


def test_publishing_and_the_page(benchmark: Any, plan: Plan) -> None:
    out = plan.runs / "out"
    measure(benchmark, "study of 2,001 cells, published", "core-s", 10.0, lambda: publish.publish(plan, Outcome(), out, empty))
    measure_page(out)


def empty(folder: Path) -> None:
    (folder / "index.html").touch()


def measure_page(out: Path) -> None:
    load, render = core_seconds(lambda: results.load(out)), core_seconds(lambda: page.render(out))
    note(Figure("study of 2,001 cells, table read", load, "core-s", 10.0, better=-1))
    note(Figure("study of 2,001 cells, page", render, "core-s", 10.0, better=-1))
