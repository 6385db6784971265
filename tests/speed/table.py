"""What was measured, in one table: figure, goal, verdict. A missed goal is reported, never raised: machines differ."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number in `unit`; `goal` is reached from below where `better` is +1 and from above where it is -1."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    better: int = +1

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else (self.value - self.goal) * self.better >= 0

    @property
    def asked(self) -> str:
        return "" if self.goal is None else f"{'≥' if self.better > 0 else '≤'} {self.goal:g}"


FIGURES: list[Figure] = []


def note(figure: Figure) -> None:
    FIGURES.append(figure)


def lines(figures: list[Figure]) -> list[str]:
    verdicts = {None: "", True: "reached", False: "MISSED"}
    return [f"{f.name:48} {f.value:10.4g} {f.unit:12} {f.asked:10} {verdicts[f.reached]}".rstrip() for f in figures]


def core_seconds(work: Callable[[], object]) -> float:
    """Core-seconds of one call: what other processes take does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began


def rate(work: Callable[[], object], items: int, calls: int = 5) -> float:
    """Items per core-second, the median of `calls` calls after one that warms up."""
    work()
    return items / statistics.median(core_seconds(work) for _ in range(calls))
