"""`salt-train plan --try`: some updates of the real size, here and now, with random weights, and what they took beside what was
forecast. They go through `train.build` and `train.update`, as a run does; nothing is saved."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from salt_bench import record
from salt_bench.errors import UserError
from salt_bench.rng import Draws
from salt_train.launch import job, joined, written
from salt_train.layout import Layout
from salt_train.made_up import MadeUp, MadeUpSteps
from salt_train.memory import KEPT, Ledger
from salt_train.objectives.base import Step
from salt_train.parallel import WHOLE, Share, crew, parts
from salt_train.plan import by_phase, flags, forecasted
from salt_train.recipe import Recipe, read
from salt_train.steps import NEW, Players
from salt_train.streaming import LongVideo
from salt_train.train import Networks, build, update

CRITICS, STUDENT = "critics", "student"
WIDE = 27


@dataclass(frozen=True)
class Took:
    """One update: the points of the student's grid, and by phase seconds and, where they were seen, the most bytes."""

    points: int
    seconds: dict[str, float]
    peaks: dict[str, int]


@dataclass(frozen=True)
class Trial:
    """What `updates` took in the first of `processes`, each with a `device`, on `batch` videos in place of the recipe's `whole`
    batch. `counted` is a further update, whose time does not count since its tensors did. `forecast` has bytes by phase."""

    method: str
    device: str
    processes: int
    layout: Layout
    batch: int
    whole: int
    built: float
    updates: tuple[Took, ...]
    counted: Took | None = None
    forecast: dict[str, int] = field(default_factory=dict)

    @property
    def peaks(self) -> dict[str, int]:
        """The most that was seen in each phase."""
        seen = [took.peaks for took in (*self.updates, *([self.counted] if self.counted else []))]
        return {phase: max(peaks[phase] for peaks in seen if peaks) for phase in self.forecast if any(seen)}

    def data(self) -> dict[str, Any]:
        """JSON types."""
        ratios = {phase: round(peak / self.forecast[phase], 4) for phase, peak in self.peaks.items()}
        said: dict[str, Any] = record.dump(self)
        return said | {"options": flags(self.layout), "peaks": self.peaks, "measured over forecast": ratios}


@dataclass
class Clock:
    """Time and memory, phase by phase. On a GPU memory is what torch allocates, elsewhere what a `ledger` counts."""

    device: str
    ledger: Ledger | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    points: int = 0

    def start(self) -> None:
        self._peak()
        self.since = self._now()

    def lap(self, phase: str) -> None:
        """What was since the last call was `phase`."""
        now = self._now()
        self.seconds[phase], self.since = now - self.since, now
        peak = self._peak()
        if peak is not None:
            self.peaks[phase] = peak

    def _now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _peak(self) -> int | None:
        """The most bytes since the last call."""
        if self.device == "cuda":
            found = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            return found
        if self.ledger is None:
            return None
        found = self.ledger.live[KEPT] + int(self.ledger.peaks[0])
        self.ledger.start()
        return found


class TimedSteps(MadeUpSteps):
    """Knows from what it is asked for when the critics are done and it is the student's turn."""

    clock: Clock

    def __call__(
        self, nets: Players, draws: Draws, index: int, grad: bool, video: LongVideo = NEW, share: Share = WHOLE
    ) -> Step:
        if grad and not self.clock.points and self.recipe.critic:
            self.clock.lap(CRITICS)
        step = super().__call__(nets, draws, index, grad, video, share)
        self.clock.points = len(step.grid) if grad else 0
        return step


def tried(method: str, recipe: Recipe, layout: Layout, processes: int, updates: int) -> Trial:
    """Tries so many updates in as many processes.

    Raises WrongUse where the recipe's batch does not divide among them."""
    parts(recipe.batch, processes, layout)
    here = _here if processes == 1 else _together
    return replace(here(method, recipe, layout, processes, updates), forecast=_forecast(recipe, layout, processes))


def _together(method: str, recipe: Recipe, layout: Layout, processes: int, updates: int) -> Trial:
    """In a torchrun job."""
    with written(recipe, layout) as (asked, how):
        found = asked.with_name("found.json")
        job(processes, "salt_train.trial", method, asked, how, processes, updates, found)
        trial: Trial = record.load(json.loads(found.read_text()))
    return trial


def _here(method: str, whole: Recipe, layout: Layout, processes: int, updates: int) -> Trial:
    """In this process: the last updates of the recipe, when every term has begun, on one part of a batch for each team."""
    recipe = replace(whole, batch=processes // layout.sequence * (layout.micro or 1), steps=max(whole.steps, updates + 1))
    with joined(layout), tempfile.TemporaryDirectory() as folder:
        run = Run(recipe, layout, Path(folder))
        first = recipe.steps - updates - 1
        took = tuple(run(first + i) for i in range(updates))
        counted = run.counted(recipe.steps - 1) if layout.device == "cpu" and run.ours.alone else None
        device = torch.cuda.get_device_name() if layout.device == "cuda" else "cpu"
    return Trial(method, device, processes, layout, recipe.batch, whole.batch, run.built, took, counted)


class Run:
    """A recipe's networks, and one update after the other."""

    def __init__(self, recipe: Recipe, layout: Layout, root: Path) -> None:
        since = time.perf_counter()
        self.recipe, self.layout, self.ours = recipe, layout, crew(recipe.batch, layout)
        self.nets = build(recipe, root, layout, MadeUp(root))
        self.steps = TimedSteps(recipe, root)
        self.built = time.perf_counter() - since

    def __call__(self, i: int, ledger: Ledger | None = None) -> Took:
        self.steps.clock = clock = Clock(self.layout.device, ledger)
        clock.start()
        try:
            update(self.nets, self.recipe, self.steps, i, self.ours)
        except torch.OutOfMemoryError:
            there = f"memory ran out, with {torch.cuda.max_memory_allocated() / 1e9:.1f} GB taken"
            raise UserError(f"{there}; `salt-train plan` without --try says which options need less") from None
        clock.lap(STUDENT)
        if self.ours.rank == 0:
            said = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in clock.seconds.items())
            print(f"an update: {said}", file=sys.stderr, flush=True)  # one may take minutes
        return Took(clock.points, clock.seconds, clock.peaks)

    def counted(self, i: int) -> Took:
        """An update whose tensors are counted, which makes it slower."""
        with Ledger() as ledger:
            keep(ledger, self.nets)
            return self(i, ledger)


def keep(ledger: Ledger, nets: Networks) -> None:
    """Books what lasts: weights, averages, moments."""
    ledger.book(KEPT, (t for net in nets.networks for t in (*net.parameters(), *net.buffers())))
    steppers = (nets.optimiser, *nets.critic_optimisers.values())
    states = [state for stepper in steppers for part in stepper.parts for state in part.state.values()]
    ledger.book(KEPT, (t for state in states for t in state.values()))


def _forecast(recipe: Recipe, layout: Layout, gpus: int) -> dict[str, int]:
    """The worst moment of each phase, an optimiser's step included."""
    found = {phase: sum(rows.values()) for phase, rows in by_phase(forecasted(recipe, layout), layout, gpus).items()}
    return {phase: max(found[phase], found[f"{phase}, step"]) for phase in (CRITICS, STUDENT) if phase in found}


def page(trial: Trial) -> str:
    """What was run, then seconds and memory by phase."""
    phases, times = list(trial.forecast), trial.updates
    lines = [*_head(trial), "", _line("", [*phases, "together"])]
    lines += [_seconds(f"seconds, {i} ({took.points} steps)", [took], phases) for i, took in enumerate(times, 1)]
    if len(times) > 2:
        lines.append(_seconds("seconds, but for the first", times[1:], phases))
    return "\n".join([*lines, *_memory(trial)])


def _head(trial: Trial) -> list[str]:
    many, parts = len(trial.updates), trial.whole // trial.batch
    options = flags(trial.layout) or "no options"
    return [
        f"{many} update{'s' * (many > 1)} of {trial.method} in {trial.processes} × {trial.device} with {options}",
        f"batch {trial.batch} of {trial.whole}: a full one makes {parts} such parts and steps once",
        f"random weights and captions, nothing is saved; networks were there after {trial.built:.1f} s",
    ]


def _memory(trial: Trial) -> list[str]:
    forecast = _bytes("GB, forecast", trial.forecast)
    if not trial.peaks:
        return [forecast, "memory was not measured: on a CPU it is counted where networks are whole"]
    ratio = [trial.peaks[phase] / size for phase, size in trial.forecast.items()]
    worst = max(trial.peaks.values()) / max(trial.forecast.values())
    how = "GB, counted in one more" if trial.counted else "GB, allocated"
    said = _line("measured / forecast", [f"{x:.3f}" for x in (*ratio, worst)])
    return [forecast, _bytes(how, trial.peaks), said]


def _seconds(name: str, took: Sequence[Took], phases: Sequence[str]) -> str:
    each = [mean(one.seconds[phase] for one in took) for phase in phases]
    return _line(name, [f"{seconds:.2f}" for seconds in (*each, sum(each))])


def _bytes(name: str, sizes: dict[str, int]) -> str:
    return _line(name, [f"{size / 1e9:.3g}" for size in (*sizes.values(), max(sizes.values()))])


def _line(name: str, values: Sequence[str]) -> str:
    return f"{name:<{WIDE}}" + "".join(f"{value:>10}" for value in values)


def main() -> None:
    """One process of a torchrun job. Its words: a name, the files of recipe and layout, the numbers of processes and updates,
    and the file that is to be written."""
    method, asked, how, processes, updates, found = sys.argv[1:]
    layout: Layout = record.load(json.loads(Path(how).read_text()))
    trial = _here(method, read(Path(asked)), layout, int(processes), int(updates))
    if os.environ.get("RANK", "0") == "0":
        Path(found).write_text(record.text(trial))


if __name__ == "__main__":
    from salt_train.trial import main as run  # under the name by which records know the classes here

    run()
