"""What a run shows of itself: an overall bar with the time left and a line per worker, or plain lines where nobody watches."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from salt_bench.executors.base import Done, Step, Task

_SHARES = {"train": 0.7, "sample": 0.1, "judge": 0.1, "probe": 0.1}  # of a cell's time, until a finished cell tells better
_ESTIMATE_EVERY = 0.2  # seconds


class Forecast:
    """How much of the work is done and how long the rest takes, from finished cells, earlier runs and the cells at work."""

    def __init__(self, tasks: Sequence[Task], workers: int, anchors: Collection[str], known: Mapping[str, float]) -> None:
        self._workers, self._anchors, self._known = workers, anchors, dict(known)
        self._waiting, self._unbegun = set(tasks), Counter(task.arm for task in tasks)
        self._begun: dict[Task, float] = {}
        self._fraction: dict[Task, float] = {}
        self._shares = dict(_SHARES)
        self.total, self.done = len(tasks), 0

    def see(self, event: Step | Done, now: float) -> None:
        """Takes one event at the time `now` (seconds on any steady clock)."""
        if event.task in self._waiting:
            self._waiting.discard(event.task)
            self._unbegun[event.task.arm] -= 1
        if isinstance(event, Step):
            self._begun.setdefault(event.task, now)
            self._fraction[event.task] = max(self._fraction.get(event.task, 0.0), self._of_cell(event))
            return
        self.done += 1
        self._begun.pop(event.task, None)
        self._fraction.pop(event.task, None)
        if event.judged:
            self._known[event.task.arm] = sum(event.wall.values())
            whole = sum(event.wall.get(stage, 0.0) for stage in _SHARES)
            if whole and event.task.arm not in self._anchors:
                self._shares = {stage: event.wall.get(stage, 0.0) / whole for stage in _SHARES}

    def _of_cell(self, event: Step) -> float:
        """The part of a cell that is done. A stage that has no share of its own is a step of training."""
        stage = event.stage if event.stage in self._shares else "train"
        before = list(self._shares)[: list(self._shares).index(stage)]
        return sum(self._shares[name] for name in before) + self._shares[stage] * min(event.fraction, 1.0)

    def fraction(self) -> float:
        """The part of all cells that is done, 0 to 1."""
        return (self.done + sum(self._fraction.values())) / max(self.total, 1)

    def seconds_left(self, now: float) -> float | None:
        """None until anything is known. Costs as much as there are arms, and not as there are cells."""
        longest = {kind: self._longest(kind) for kind in (True, False)}
        rests = [(self._usual(arm, longest), count) for arm, count in self._unbegun.items() if count]
        rests += [(self._rest(task, now, longest), 1) for task in self._begun]
        known = [(rest, count) for rest, count in rests if rest is not None]
        if not known:
            return None if rests else 0.0
        mean = sum(rest * count for rest, count in known) / sum(count for _, count in known)
        spread = sum((mean if rest is None else rest) * count for rest, count in rests) / self._workers
        return max(spread, *(rest for rest, _ in known))

    def _longest(self, anchors: bool) -> float | None:
        """The longest cell that is known of the anchors, or of the other arms."""
        return max((s for arm, s in self._known.items() if (arm in self._anchors) is anchors), default=0.0) or None

    def _usual(self, arm: str, longest: Mapping[bool, float | None]) -> float | None:
        return self._known.get(arm, longest[arm in self._anchors])

    def _rest(self, task: Task, now: float, longest: Mapping[bool, float | None]) -> float | None:
        part, spent = self._fraction.get(task, 0.0), now - self._begun[task]
        if part > 0.02 and spent > 1:
            return spent * (1 - part) / part
        return self._usual(task.arm, longest)


class Display:
    """A context that draws a Forecast on a console; call it with every event."""

    def __init__(self, forecast: Forecast, console: Console) -> None:
        self._forecast, self._console = forecast, console
        text = [TextColumn(field) for field in ("{task.description}", "{task.percentage:3.0f}%", "{task.fields[note]}")]
        columns = (text[0], BarColumn(), *text[1:])
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._overall = self._bars.add_task("all cells", total=1.0, note="")
        self._lines: dict[int, TaskID] = {}
        self._said: dict[Task, str] = {}
        self._estimated, self._rest = -math.inf, ""

    def __enter__(self) -> Display:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, event: Step | Done) -> None:
        now = time.monotonic()
        self._forecast.see(event, now)
        if now - self._estimated > _ESTIMATE_EVERY:
            self._estimated, self._rest = now, _left(self._forecast.seconds_left(now))
        note = f"{self._forecast.done}/{self._forecast.total} cells, {self._rest}"
        self._bars.update(self._overall, completed=self._forecast.fraction(), note=note)
        if isinstance(event, Done):
            seconds = sum(event.wall.values())
            self._say(f"[{note}] {event.task}: {'failed, ' + event.error if event.error else f'done in {seconds:.0f} s'}")
            return
        if event.worker not in self._lines:
            self._lines[event.worker] = self._bars.add_task("", total=1.0, note="")
        self._bars.update(self._lines[event.worker], description=f"  {event.task}", completed=event.fraction, note=event.stage)
        if not self._console.is_terminal and self._said.get(event.task) != event.stage:
            self._said[event.task] = event.stage
            self._say(f"[{note}] {event.task}: {event.stage}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"{duration(seconds)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
