"""Models that several processes train together.

Their sums are cut among the processes, so such a checkpoint equals that of one process within rounding only, and what is
measured on it equals no other run to the byte. How many processes it was is noted beside the checkpoints, and said in the
manifest and on the page.
"""

from __future__ import annotations

from pathlib import Path

from salt_bench import files, record
from salt_bench.types import Arm, Log, Shared

FOLDER = "together"
"""In the folder that all studies share, one file per model: how many processes trained it, where it was more than one."""


def prepare(arm: Arm, seed: int, models: Path, log: Log, processes: int) -> bool:
    """`arm.prepare`, in so many processes where the arm knows how to and there is something to train."""
    if processes == 1 or not isinstance(arm, Shared):
        return arm.prepare(seed, models, log)
    if not arm.evidence(seed, models):  # noted first: a run that is killed goes on from what these processes have made
        files.write_text(_note(arm, seed, models), f"{max(processes, noted(arm, seed, models))}\n")
    log("train", 0.0)
    return arm.prepare_together(processes, seed, models, log)


def noted(arm: Arm, seed: int, models: Path) -> int:
    """How many processes trained a model, the most where they were not always as many."""
    path = _note(arm, seed, models)
    return int(path.read_text()) if path.is_file() else 1


def _note(arm: Arm, seed: int, models: Path) -> Path:
    return models / FOLDER / record.fingerprint(arm.identity(seed))
