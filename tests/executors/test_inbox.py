"""What tasks say in files is read once, whole line by whole line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import toy

from salt_bench import study
from salt_bench.executors.base import Done, Step, Task
from salt_bench.executors.inbox import Inbox
from salt_bench.executors.worker import letters, outcome, report

TASK = Task("study.py", "default", "work", "models", "plus 7", 1)


def test_lines_are_read_once_and_halves_are_waited_for(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, "x")
    assert list(inbox.events([TASK])) == []
    path = letters(inbox.folder, TASK)
    path.write_text('\n{"stage": "train", "fraction": 0.5}\n{"stage": "tr')
    assert list(inbox.events([TASK])) == [Step(0, TASK, "train", 0.5)]
    with open(path, "a") as file:  # the worker died there, and the next one begins with a new line
        file.write('\n{"stage": "judge", "fraction": 1.0}\n' + outcome(Done(0, TASK, True, True, {"train": 2.0}, {}, "")))
    assert list(inbox.events([TASK])) == [
        Step(0, TASK, "judge", 1.0),
        Done(0, TASK, trained=True, judged=True, wall={"train": 2.0}),
    ]
    assert list(inbox.events([TASK])) == []


def test_numbers_are_the_smallest_that_are_free(tmp_path: Path) -> None:
    inbox, tasks = Inbox(tmp_path, "x"), [replace(TASK, train_seed=seed) for seed in range(4)]
    assert [inbox.number(task) for task in tasks[:3]] == [0, 1, 2]
    inbox.free(tasks[1])
    assert [inbox.number(tasks[2]), inbox.number(tasks[3]), inbox.number(tasks[1])] == [2, 1, 3]


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    first, second = Inbox(tmp_path, "x"), Inbox(tmp_path, "x")
    assert first.folder != second.folder
    first.remove()
    assert [path.name for path in tmp_path.iterdir()] == [second.folder.name]


def test_a_report_says_how_it_went_and_keeps_the_traceback(tmp_path: Path) -> None:
    study._module_names.cache_clear()
    path = toy.write_study(tmp_path, '{"plain": ToyArm(3), "bad": ToyArm(1, harm="raise")}')
    plan, inbox = study.make_plan(path, runs=tmp_path / "runs"), Inbox(tmp_path, "x")
    good, bad = (next(plan.task(cell) for cell in plan.cells if cell.arm == arm) for arm in ("plain", "bad"))
    done = report(good, inbox.folder)
    events = list(inbox.events([good]))
    assert events[-1] == done
    assert {event.stage for event in events if isinstance(event, Step)} == {"train", "sample", "judge", "probe"}
    assert done.judged
    assert report(bad, inbox.folder).error == "RuntimeError: the toy broke on two lines"
    assert "Traceback" in inbox.log(bad).read_text()
    assert inbox.log(good).read_text() == ""
