"""What cells will take: by their own arm, else by their like here, else by other studies; and what a dry run says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy

from salt_bench import files, study, timings
from salt_bench.commands import dry_run
from salt_bench.executors.base import Width
from salt_bench.executors.inline import Inline
from salt_bench.study import Plan
from salt_bench.timings import Cost, Experience, Timing

HERE = [Timing("a", 100, 20, 10), Timing("a", 300, 40, 10), Timing("truth", 0, 8, 10), Timing("a", 0, 30, 10)]
FAR = [Timing("x", 1000, 50, 100), Timing("old", 7, 7, 0), Timing("truth", 0, 10, 100)]


def test_a_cell_costs_what_its_like_took() -> None:
    known = Experience(HERE, FAR, {"truth", "teacher"})
    assert known.cost("a", 10, False) == Cost(200, 30, timings.OWN)
    assert known.cost("a", 20, True) == Cost(0, 60, timings.OWN)
    assert known.cost("b", 10, False) == Cost(200, 30, timings.ALIKE)
    assert known.cost("teacher", 10, False) == Cost(0, 8, timings.ALIKE)
    far = Experience([], FAR, {"truth"})
    assert far.cost("b", 10, False) == Cost(1000, 5, timings.ELSEWHERE)
    assert far.cost("truth", 10, False) == Cost(0, 1, timings.ELSEWHERE)
    assert Experience(HERE[2:3], [], {"truth"}).cost("a", 10, False) is None


def test_lines_come_back_and_half_lines_are_left_out(tmp_path: Path) -> None:
    wall = {"startup": 1.0, "train": 5.0, "sample": 2.0, "judge": 3.0}
    timings.note(tmp_path, {"arm": "a", "train_seed": 0, "wall_s": wall, "core_s": wall, "trained": True, "clips": 4})
    timings.note(tmp_path, {"arm": "b", "wall_s": wall, "trained": False})
    files.append_line(tmp_path / timings.FILE, '{"arm": "c", "wall')
    files.append_line(tmp_path / timings.FILE, "[]")
    assert timings.read(tmp_path) == [Timing("a", 5, 6, 4), Timing("b", 0, 6, 0)]
    assert timings.longest(timings.read(tmp_path)) == {"a": 11, "b": 6}
    assert timings.read(tmp_path / "none") == []


def _plan(folder: Path, name: str = "toy") -> Plan:
    study._module_names.cache_clear()
    folder.mkdir(exist_ok=True)
    return study.make_plan(toy.write_study(folder, more=f"name={name!r}"), runs=folder.parent / "runs")


def _said(plan: Plan, width: Width) -> list[str]:
    return list(dry_run.lines(plan, study.missing(plan, print), width))


def _note(plan: Plan, arm: str, train: float, rest: float, clips: int = 18) -> None:
    wall = {"train": train, "judge": rest}
    timings.note(plan.place.work, {"arm": arm, "train_seed": 0, "wall_s": wall, "trained": train > 0, "clips": clips})


def test_a_dry_run_says_what_everything_costs(tmp_path: Path) -> None:
    plan = _plan(tmp_path / "s")
    assert _said(plan, Width(2))[-1].startswith("forecast: none, nothing was measured yet")
    _note(plan, "truth", 0, 60, clips=9)
    lines = _said(plan, Width(2))
    assert lines[0] == "measure  truth seed 0, about 1 min 00 s"
    assert lines[1] == "measure  plain seed 0"
    assert "4 by the mean of those, since nothing like them was measured" in lines[-1]
    _note(plan, "plain", 3600, 600)
    lines = _said(plan, Width(2))
    assert lines[1] == "measure  plain seed 0, about 1 h 10 min (1 h 00 min of it training)"
    assert lines[-3] == "5 of 5 cells to measure, 0 to reuse"
    assert lines[-2] == "forecast: 4 h 41 min of cells; 2 h 20 min on the clock, 2 at once"
    assert lines[-1].endswith("before: 3 by its own arm, 2 by other arms of this study")
    assert _said(plan, Width(40))[-2].endswith("1 h 10 min on the clock, 5 at once")
    gpus = _said(plan, Width(None, 4.0, 4))[-2]
    assert gpus == (
        "forecast: 4 h 41 min of cells, 19 GPU-hours (4 per cell); 1 h 10 min on the clock if the cluster starts all 5 at once"
    )


def test_another_study_lends_its_throughput(tmp_path: Path) -> None:
    other, plan = _plan(tmp_path / "o", "other"), _plan(tmp_path / "s")
    _note(other, "large", 100, 36, clips=36)
    lines = _said(plan, Width(1))
    assert "measure  plain seed 0, about 1 min 58 s (1 min 40 s of it training)" in lines
    assert "4 by other studies; 1 by the mean of those" in lines[-1]


def test_what_is_there_costs_nothing_and_a_trained_model_no_training(tmp_path: Path) -> None:
    plan = _plan(tmp_path / "s")
    study.run(plan, study.missing(plan, print), Inline(), lambda event: None)
    assert [timing.clips for timing in timings.read(plan.place.work)] == [9, 18, 18, 18, 18]
    assert _said(plan, Width(1)) == [f"reuse    {cell.arm} seed {cell.train_seed}" for cell in plan.cells] + [
        "0 of 5 cells to measure, 5 to reuse"
    ]
    plan.place.shard(plan.cells[1]).unlink()
    _note(plan, "plain", 500, 10)
    line = next(line for line in _said(plan, Width(1)) if line.startswith("measure"))
    assert line.startswith("measure  plain seed 0, about")
    assert "training" not in line


@pytest.mark.parametrize("arm", ["plain", "none"])
def test_an_unknown_arm_is_no_error(tmp_path: Path, arm: str) -> None:
    assert (Experience(HERE, [], ()).cost(arm, 10, False) or Cost(0, 0, "")).source == timings.ALIKE
