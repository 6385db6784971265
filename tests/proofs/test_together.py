"""A study whose models are torchrun jobs of two processes: the same as one's within rounding, and dead when their parent is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from salt_bench import publish, study
from salt_bench.executors.base import Done
from salt_bench.executors.options import make
from salt_bench.report import page
from salt_bench.study import Plan

ROOT = Path(__file__).parents[2]


def _plan(folder: Path, processes: int, scale: str = "default") -> Plan:
    """The study of test_kill, in its own folder of runs."""
    study._module_names.cache_clear()
    folder.mkdir(exist_ok=True)
    path = shutil.copyfile(Path(__file__).with_name("study_sc_dmd.py"), folder / "study_sc_dmd.py")
    return study.make_plan(path, scale, folder / "runs", processes)


def _weights(plan: Plan, arm: str) -> dict[str, np.ndarray]:
    (folder,) = (plan.place.models / "checkpoints").glob(plan.study.arms[arm].fingerprint(0))  # type: ignore[attr-defined]
    return load_file(folder / "student.safetensors")


def test_two_processes_make_what_one_makes_within_rounding(tmp_path: Path) -> None:
    plans = [_plan(tmp_path / str(count), count, "smoke") for count in (1, 2)]
    for plan in plans:
        executor = make("local", 1, plan.place.work / "logs", [f"processes={plan.processes}"])
        outcome = study.run(plan, study.missing(plan, print), executor, lambda event: None)
        assert outcome.failures == []
        publish.publish(plan, outcome, tmp_path / f"report{plan.processes}", page.render)
    for arm in plans[0].study.arms:
        alone, both = (_weights(plan, arm) for plan in plans)
        assert alone.keys() == both.keys()
        largest = max(float(np.abs(alone[name] - both[name]).max()) for name in alone)
        print(f"{arm}: weights differ by at most {largest:.1e}")
        assert largest < 1e-4
        assert any((alone[name] != both[name]).any() for name in alone), "two processes cut their sums elsewhere"
    assert "by 1, 2 processes: repeatable within rounding only" in (tmp_path / "report2/report.md").read_text()
    assert "within rounding only" not in (tmp_path / "report1/report.md").read_text()


def _training(folder: Path) -> list[psutil.Process]:
    """The processes of a torchrun job that works in `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "salt_train.launch" in line and str(folder) in line:
            found.append(process)
    return found


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_no_job_outlives_its_run(tmp_path: Path, kill: signal.Signals) -> None:
    plan = _plan(tmp_path / "s", 2)
    code = "from salt_bench.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(plan.path), "--jobs", "1", "-o", "processes=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen(command, cwd=plan.path.parent, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until(lambda: len(_training(tmp_path)) >= 3, 120)
    run.send_signal(kill)
    run.wait(30)
    _until(lambda: not _training(tmp_path), 60)


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.2)


def test_an_executor_hands_the_number_to_its_cells(tmp_path: Path) -> None:
    plan = _plan(tmp_path / "s", 2)
    assert {plan.task(cell).processes for cell in plan.cells} == {2}
    assert Done(0, plan.task(plan.cells[0])).task.processes == 2
