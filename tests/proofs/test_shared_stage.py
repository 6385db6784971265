"""A stage that two processes need at the same moment is trained by one of them, and both go on with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
TEACHER, STUDENT = 40, 2  # updates
TWIN = f"""
import sys, time
from dataclasses import replace
from pathlib import Path
from tiny import student, teacher
from salt_train import train
seed, folder, updates = int(sys.argv[1]), Path(sys.argv[2]), []
recipe = replace(student(steps={STUDENT}), teacher=teacher({TEACHER}))
(folder / f"ready{{seed}}").touch()
while not (folder / f"ready{{1 - seed}}").exists():
    time.sleep(0.01)
recipe.prepare(seed, folder, lambda _, fraction: updates.append(fraction))
print(len(updates))
"""


def test_two_processes_that_need_the_same_teacher_train_it_once(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS / "train"), str(TESTS.parent))), "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, "-c", TWIN, str(seed), str(tmp_path)] for seed in (0, 1)]
    twins = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for command in commands]
    updates = [int(twin.communicate(timeout=600)[0]) for twin in twins]
    assert sorted(updates) == [STUDENT, TEACHER + STUDENT]
    assert len(list((tmp_path / "checkpoints").glob("*/recipe.json"))) == 3
