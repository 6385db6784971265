"""Studies: found by path, filled cell by cell; a cell is skipped while what it was measured on is still there."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib.util
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from salt_bench import cell as cells
from salt_bench import files, results, timings, together
from salt_bench.cell import Cell, Place
from salt_bench.errors import UserError, WrongUse
from salt_bench.executors.base import Done, Executor, Step, Task
from salt_bench.types import Log, Study

SCALES = ("smoke", "default", "full")
_RESERVED = ("smoke", "checkpoints", "locks", together.FOLDER)
_SMOKE_PROMPTS = {True: 4, False: 8}  # how many validation and other prompts a derived smoke study keeps


def load_study(path: Path | str, scale: str = "default") -> Study:
    """The study that the file at `path` defines as STUDY, or, at another scale, as SCALES[scale] where it has such a table.

    Without one, "smoke" is STUDY with small arms, few prompts and one seed of each kind, and "full" is STUDY itself. The file
    is loaded by its path, once per process, as nox loads a noxfile. Raises WrongUse where there is no such file, name or scale.
    """
    if scale not in SCALES:
        raise WrongUse(f"a scale is one of {', '.join(SCALES)}, got {scale!r}{near(scale, SCALES)}")
    study = _at_scale(_module_names(_existing(Path(path))), Path(path), scale)
    check(study)
    return study


def _existing(path: Path) -> Path:
    if not path.is_file():
        others = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise WrongUse(f"no study file {path}{near(path.name, others) or '; a study is a Python file that defines STUDY'}")
    return path.resolve()


def near(word: str, words: Iterable[str]) -> str:
    """`; did you mean …?`, or "" where nothing is near."""
    found = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(found)}?" if found else ""


@functools.cache
def _module_names(path: Path) -> Mapping[str, object]:
    name = f"salt_bench_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise WrongUse(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses that the file defines look themselves up there
    spec.loader.exec_module(module)
    return vars(module)


def _at_scale(names: Mapping[str, object], path: Path, scale: str) -> Study:
    study, table = names.get("STUDY"), names.get("SCALES", {})
    if not isinstance(study, Study):
        raise WrongUse(f"{path} defines no STUDY: assign a salt_bench.types.Study to that name")
    if not isinstance(table, Mapping) or set(table) - set(SCALES):
        raise WrongUse(f"SCALES in {path} maps {', '.join(SCALES)} to studies, got {table!r}")
    chosen = table.get(scale) or (_smoke(study) if scale == "smoke" else study)
    if not isinstance(chosen, Study) or chosen.name != study.name:
        raise WrongUse(f"SCALES[{scale!r}] in {path} is a Study that is also named {study.name!r}")
    return chosen


def _smoke(study: Study) -> Study:
    few = [[p for p in study.prompts if cells.is_validation(p) is kind][:n] for kind, n in _SMOKE_PROMPTS.items()]
    prompts = [prompt for part in few for prompt in part]
    arms = {name: arm.small() for name, arm in study.arms.items()}
    train_seeds, sample_seeds = study.train_seeds[:1], study.sample_seeds[:1]
    return replace(study, arms=arms, prompts=prompts, train_seeds=train_seeds, sample_seeds=sample_seeds)


def check(study: Study) -> None:
    """Raises WrongUse where a study contradicts itself."""
    name, ids = study.name, [p.id for p in study.prompts]
    judges = [judge.name for judge in (*study.judges, *study.setjudges, *study.probes)]
    full = ids and study.settings and study.train_seeds and study.sample_seeds
    both = sorted(set(study.arms) & set(study.anchors))
    rules = (
        (name == files.slug(name) and name not in _RESERVED, "its name is to be a folder's name"),
        (study.baseline in study.arms, _no_arm(study)),
        (not both, f"{both} are arms and anchors: a name is one of them"),
        (full, "it needs at least one prompt, setting, training seed and sample seed"),
        (not _twice(ids), f"prompt ids {_twice(ids)} come more than once"),
        (not _twice(judges), f"judges {_twice(judges)} come more than once"),
        (not _strangers(study), f"expectations name {_strangers(study)}, which are no arms, baselines or settings"),
        (
            not study.setjudges or "truth" in study.anchors,
            "set judges need the world: add anchors={'truth': Truth(world)}",
        ),
    )
    broken = [message for holds, message in rules if not holds]
    if broken:
        raise WrongUse(f"study {name!r}: {'; '.join(broken)}")


def _no_arm(study: Study) -> str:
    return (
        f"the baseline {study.baseline!r} is no arm{'' if study.baseline in study.arms else near(study.baseline, study.arms)}"
    )


def _twice(names: Sequence[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _strangers(study: Study) -> list[str]:
    """What expectations name that the study does not have."""
    named = {name for e in study.expectations for name in (e.arm, e.baseline) if name not in study.arms}
    return sorted(named | {e.setting for e in study.expectations if e.setting not in study.settings})


@dataclass(frozen=True)
class Plan:
    """A study on its way: where it was defined, at which scale, where its files lie (`runs`/<study>/<scale>), and how many
    processes train a model together."""

    study: Study
    path: Path
    scale: str
    runs: Path
    processes: int = 1

    @property
    def place(self) -> Place:
        return Place(self.runs / self.study.name / self.scale, self.runs)

    @property
    def cells(self) -> tuple[Cell, ...]:
        return cells.cells(self.study)

    def task(self, cell: Cell) -> Task:
        place = self.place
        where = (str(self.path), self.scale, str(place.work), str(place.models))
        return Task(*where, cell.arm, cell.train_seed, self.processes)

    def shards(self) -> list[Path]:
        return [self.place.shard(cell) for cell in self.cells]


def make_plan(path: Path | str, scale: str = "default", runs: Path | str = "runs", processes: int = 1) -> Plan:
    """The plan for the study at `path`; nothing is written."""
    return Plan(load_study(path, scale), Path(path).resolve(), scale, Path(runs).resolve(), processes)


@dataclass
class Outcome:
    """What a run did: cells trained, reused, judged; failures (cell, reason); seconds per stage, on the clock and of a core."""

    trained: int = 0
    reused: int = 0
    judged: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    wall: dict[str, float] = field(default_factory=dict)
    core: dict[str, float] = field(default_factory=dict)

    def add(self, done: Done) -> None:
        if done.error:
            self.failures.append((str(done.task), done.error))
        self.trained += done.trained
        self.judged += done.judged
        self.reused += not (done.judged or done.error)
        for total, part in ((self.wall, done.wall), (self.core, done.core)):
            for stage, seconds in part.items():
                total[stage] = total.get(stage, 0.0) + seconds


def missing(plan: Plan, say: Callable[[str], None]) -> list[Cell]:
    """The cells that are to be measured, longest first as far as earlier runs tell. A damaged shard is named and made again."""
    wanted, place, common = [], plan.place, cells.shared(plan.study)
    for cell in plan.cells:
        try:
            if not cells.current(plan.study, cell, place, common):
                wanted.append(cell)
        except results.Corrupt as error:
            say(str(error))
            wanted.append(cell)
    known = timings.longest(timings.read(place.work))
    return sorted(wanted, key=lambda cell: (cell.arm not in plan.study.anchors, -known.get(cell.arm, 0.0)))


def run(plan: Plan, wanted: Sequence[Cell], executor: Executor, watch: Callable[[Step | Done], None]) -> Outcome:
    """Measures the `wanted` cells (see `missing`); `watch` sees every event.

    One failing cell never stops the rest: it is in the outcome, and running again tries it again."""
    outcome = Outcome(reused=len(plan.cells) - len(wanted))
    for event in executor([plan.task(cell) for cell in wanted]):
        watch(event)
        if isinstance(event, Done):
            outcome.add(event)
            _note_times(plan, event)
    return outcome


def perform(task: Task, log: Log) -> Done:
    """Measures one cell, in whatever process this is; an exception becomes one line, its traceback goes to stderr."""
    started = time.perf_counter(), time.process_time()
    try:
        study = load_study(task.study, task.scale)
        loaded = time.perf_counter(), time.process_time()
        place = Place(Path(task.work), Path(task.models))
        measured = cells.measure(study, Cell(task.arm, task.train_seed), place, log, task.processes)
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk has no room for a traceback either
            traceback.print_exc()
        return Done(0, task, error=one_line(error))
    wall = {"startup": loaded[0] - started[0], **measured.spent.wall}
    core = {"startup": loaded[1] - started[1], **measured.spent.core}
    return Done(0, task, measured.trained, measured.judged, wall, core)


def one_line(error: BaseException) -> str:
    """What went wrong, on one line; the kind of error only where its words may not explain it."""
    words = " ".join(str(error).split())
    return words if isinstance(error, UserError) else f"{type(error).__name__}: {words}"


def _note_times(plan: Plan, done: Done) -> None:
    if done.judged:
        row = {"arm": done.task.arm, "train_seed": done.task.train_seed, "wall_s": done.wall, "core_s": done.core}
        clips = cells.clip_count(plan.study, Cell(done.task.arm, done.task.train_seed))
        timings.note(plan.place.work, row | {"trained": done.trained, "clips": clips})
