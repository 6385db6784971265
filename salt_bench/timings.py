"""What cells took, and what those to come will take: seconds on the clock, from every run in the same folder of runs.

Wall times are outside of the promise that equal runs leave equal bytes. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from salt_bench import files

FILE = "timings.jsonl"
"""In a study's work folder: one line for each cell that was measured."""


@dataclass(frozen=True)
class Timing:
    """A measured cell: seconds of training (0 where its checkpoint was there), seconds of everything else, and over how many
    clips those were (0 in lines from before that was noted)."""

    arm: str
    train: float
    rest: float
    clips: int

    @property
    def seconds(self) -> float:
        return self.train + self.rest


def note(work: Path, row: Mapping[str, Any]) -> None:
    """Adds a line: arm, train_seed, trained, clips, and seconds per stage, on the clock (wall_s) and of a core (core_s)."""
    files.append_line(work / FILE, json.dumps(row, sort_keys=True))


def read(work: Path) -> list[Timing]:
    """The cells that were measured in a work folder, in their order; lines that a kill cut short are left out."""
    path = work / FILE
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [timing for line in lines for timing in _parsed(line)]


def _parsed(line: str) -> Iterator[Timing]:
    try:
        row = json.loads(line)
        stages = dict(row["wall_s"])
        train, rest = float(stages.pop("train", 0.0)), float(sum(stages.values()))
        yield Timing(row["arm"], train if row.get("trained", True) else 0.0, rest, int(row.get("clips", 0)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def longest(timings: Sequence[Timing]) -> dict[str, float]:
    """The longest that each arm's cells took, in seconds."""
    known: dict[str, float] = {}
    for timing in timings:
        known[timing.arm] = max(known.get(timing.arm, 0.0), timing.seconds)
    return known


def elsewhere(runs: Path, work: Path) -> list[Timing]:
    """What was measured in the other work folders under `runs`: other studies, other scales."""
    folders = sorted({path.parent for path in runs.glob(f"*/*/{FILE}")} - {work})
    return [timing for folder in folders for timing in read(folder)]


@dataclass(frozen=True)
class Cost:
    """What a cell will take, in seconds; `source` says by what that is judged."""

    train: float
    rest: float
    source: str

    @property
    def seconds(self) -> float:
        return self.train + self.rest


OWN, ALIKE, ELSEWHERE = "its own arm", "other arms of this study", "other studies"


@dataclass(frozen=True)
class Experience:
    """Cells that were measured in this study's work folder, and in others'. Anchors and arms say nothing of each other."""

    here: Sequence[Timing]
    others: Sequence[Timing]
    anchors: Collection[str]

    def cost(self, arm: str, clips: int, trained: bool) -> Cost | None:
        """Of a cell with so many clips, whose model is there already or not; None where nothing like it was measured."""
        alike = [[t for t in rows if (t.arm in self.anchors) is (arm in self.anchors)] for rows in (self.here, self.others)]
        own = [timing for timing in alike[0] if timing.arm == arm]
        for rows, source in ((own, OWN), (alike[0], ALIKE), ([t for t in alike[1] if t.clips], ELSEWHERE)):
            if rows:
                return Cost(0.0 if trained else _training(rows), median(_rest(t, clips) for t in rows), source)
        return None


def _training(rows: Sequence[Timing]) -> float:
    return median([t.train for t in rows if t.train] or [0.0])


def _rest(timing: Timing, clips: int) -> float:
    """Sampling, judging and probing grow with the clips."""
    return timing.rest * clips / timing.clips if timing.clips else timing.rest
