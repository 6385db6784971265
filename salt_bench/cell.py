"""One cell of a study: an arm at one training seed. Train, sample, judge and probe it, then write its shard.

Every stage meets the next one in files, so a cell that is killed goes on where it stood, and ends in the same bytes.
"""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench import clips, files, record, results, together
from salt_bench.errors import UserError
from salt_bench.judges.base import Features
from salt_bench.types import Arm, ArrayClip, Clip, Log, Prompt, Score, Steppable, Study

_Features = Mapping[str, np.ndarray]  # set judge → (N, D)

OWN = "own"
"""The setting of an anchor: its own grid."""
REFERENCE_SHIFT = 1000
"""The set judges' reference is the truth at sample seed + this: the truth's own row then shows the floor of a finite sample."""


@dataclass(frozen=True)
class Cell:
    """An arm (by its name in the study) at one training seed."""

    arm: str
    train_seed: int

    @property
    def slug(self) -> str:
        return f"{files.slug(self.arm)}-seed{self.train_seed}"


@dataclass(frozen=True)
class Place:
    """Where a study keeps its things: `work` is its own folder, `models` is shared by all studies and handed to the arms,
    which keep their checkpoints in `models`/checkpoints."""

    work: Path
    models: Path

    def shard(self, cell: Cell) -> Path:
        return self.work / "shards" / f"{cell.slug}.jsonl"

    def clips(self, study: Study, cell: Cell, setting: str, sample_seed: int) -> Path:
        """Where the clips lie that the present evidence gives: another checkpoint has another file."""
        arm = arm_at(study, cell, setting)
        made_of = [arm.identity(cell.train_seed), arm.evidence(cell.train_seed, self.models), arm.protocol()]
        name = record.fingerprint([*made_of, [p.id for p in study.prompts], sample_seed])
        return self.work / "clips" / cell.slug / f"{name}.npy"


@dataclass
class Spent:
    """Seconds per stage: on the clock, and of one core."""

    wall: dict[str, float] = field(default_factory=dict)
    core: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        wall, core = time.perf_counter(), time.process_time()
        yield
        self.wall[stage] = time.perf_counter() - wall
        self.core[stage] = time.process_time() - core


@dataclass(frozen=True)
class Measured:
    """What one call of `measure` did. `judged` is False where another process had just done it."""

    trained: bool
    judged: bool
    spent: Spent


def cells(study: Study) -> tuple[Cell, ...]:
    """Anchors first (others may need what they make), then every arm at every training seed."""
    anchors = [Cell(name, 0) for name in study.anchors]
    return (*anchors, *(Cell(name, seed) for seed in study.train_seeds for name in study.arms))


def arm_of(study: Study, cell: Cell) -> Arm:
    return study.anchors[cell.arm] if cell.arm in study.anchors else study.arms[cell.arm]


def settings(study: Study, cell: Cell) -> tuple[str, ...]:
    """The settings that a cell is measured at: its own grid for an anchor, else all of the study's."""
    return (OWN,) if cell.arm in study.anchors else tuple(study.settings)


def arm_at(study: Study, cell: Cell, setting: str) -> Arm:
    """The arm under one setting's grid; an anchor keeps its own."""
    arm = arm_of(study, cell)
    return arm if cell.arm in study.anchors else arm.at(tuple(study.settings[setting]))


def clip_count(study: Study, cell: Cell) -> int:
    """How many clips a cell makes."""
    return len(_shots(study, cell)) * len(study.prompts)


def shared(study: Study) -> dict[str, str]:
    """What the scores of every cell depend on, as canonical JSON: with many prompts it costs milliseconds to say."""
    depends = {
        "prompts": list(study.prompts),
        "sample_seeds": list(study.sample_seeds),
        "protocols": protocols(study),
        "reference": study.anchors["truth"].identity(0) if study.setjudges else None,
    }
    return {name: record.text(value) for name, value in depends.items()}


def header(study: Study, cell: Cell, place: Place, common: Mapping[str, str]) -> dict[str, str]:
    """What a cell's scores rest on: a fingerprint of all that they depend on (`common` is what `shared` says), and the evidence
    that it is still there ("" where it is not)."""
    arm = arm_of(study, cell)
    own = {
        "arm": arm.identity(cell.train_seed),
        "settings": {name: arm_at(study, cell, name).protocol() for name in settings(study, cell)},
    }
    depends = record.joined({**common, **{name: record.text(value) for name, value in own.items()}})
    return {"fingerprint": record.digest(depends), "evidence": arm.evidence(cell.train_seed, place.models)}


def protocols(study: Study) -> list[Any]:
    """What every judge, set judge and probe of the study says of itself."""
    return [judge.protocol() for judge in (*study.judges, *study.setjudges, *study.probes)]


def current(study: Study, cell: Cell, place: Place, common: Mapping[str, str]) -> bool:
    """Whether the cell's scores can be reused: same dependencies, and the very checkpoint they were measured on is there."""
    path = place.shard(cell)
    if not path.is_file():
        return False
    now = header(study, cell, place, common)
    return bool(now["evidence"]) and results.read_shard(path).header == now


def measure(study: Study, cell: Cell, place: Place, log: Log, processes: int = 1) -> Measured:
    """Fills one cell's shard, whatever is there of it already; one process at a time, which has `processes` train a model."""
    spent, common = Spent(), shared(study)
    with files.lock(place.work / "locks" / f"{cell.slug}.lock"):
        if _quietly_current(study, cell, place, common):
            return Measured(False, False, spent)
        with spent.on("train"):
            trained = _prepare(study, cell, place, log, processes)
        with spent.on("sample"):
            _sample(study, cell, place, log)
        with spent.on("judge"):
            scores = list(_judge(study, cell, place, log))
        with spent.on("probe"):
            scores += _probe(study, cell, place, log)
        rests_on = header(study, cell, place, common)
        results.write_shard(place.shard(cell), rests_on, [score for score in scores if score.values])
        _tidy(study, cell, place)
    return Measured(trained, True, spent)


def _quietly_current(study: Study, cell: Cell, place: Place, common: Mapping[str, str]) -> bool:
    try:
        return current(study, cell, place, common)
    except results.Corrupt:
        return False


def _prepare(study: Study, cell: Cell, place: Place, log: Log, processes: int) -> bool:
    """Trains under a lock that is named by what is made, so that studies in two processes never make it twice."""
    arm = arm_of(study, cell)
    name = record.fingerprint(arm.identity(cell.train_seed))
    with files.lock(place.models / "locks" / f"{name}.lock"):
        trained = together.prepare(arm, cell.train_seed, place.models, log, processes)
    if not arm.evidence(cell.train_seed, place.models):
        raise UserError(f"arm {cell.arm!r} shows no evidence after prepare(): evidence() digests what its sampler is made from")
    return trained


def _parts(log: Log, total: int) -> Iterator[Log]:
    """One log per part of a stage, each of which reports its share of the whole."""
    for done in range(total):
        yield lambda stage, fraction, done=done: log(stage, (done + fraction) / total)  # type: ignore[misc]


def _shots(study: Study, cell: Cell) -> list[tuple[str, int]]:
    return [(setting, seed) for setting in settings(study, cell) for seed in study.sample_seeds]


def _sample(study: Study, cell: Cell, place: Place, log: Log) -> None:
    shots = _shots(study, cell)
    for (setting, seed), part in zip(shots, _parts(log, len(shots)), strict=True):
        path = place.clips(study, cell, setting, seed)
        if clips.load(path, study.prompts, seed) is None:
            sampler = arm_at(study, cell, setting).sampler(cell.train_seed, place.models)
            clips.save(path, sampler(study.prompts, seed), study.prompts, part)


def saved(study: Study, cell: Cell, place: Place, setting: str, seed: int) -> list[ArrayClip]:
    """The clips that the cell was judged on, in prompt order."""
    found = clips.load(place.clips(study, cell, setting, seed), study.prompts, seed)
    if found is None:
        raise UserError(f"the clips of {cell.slug} at {setting!r} are gone: run the same command again")
    return found


def _judge(study: Study, cell: Cell, place: Place, log: Log) -> Iterator[Score]:
    shots = _shots(study, cell)
    for (setting, seed), part in zip(shots, _parts(log, len(shots)), strict=True):
        base = functools.partial(Score, cell.arm, setting, cell.train_seed, sample_seed=seed)
        rows: list[dict[str, np.ndarray]] = []
        for done, clip in enumerate(saved(study, cell, place, setting, seed), start=1):
            memo = Features(clip)
            yield from (scored(base, clip.prompt, judge, functools.partial(judge, clip, memo)) for judge in study.judges)
            rows.append(_described(study, clip, memo))
            part("judge", done / len(study.prompts))
        if study.setjudges:
            yield from _compare(study, base, rows, _reference(study, place, seed, log))


def scored(base: Any, prompt: Prompt | None, judge: Any, ask: Any) -> Score:
    """One row. A judge that refuses its input (ValueError) or gives None leaves a row with a reason, never a gap."""
    try:
        values, note = ask(), ""
    except ValueError as error:
        values, note = dict.fromkeys(judge.outputs), f"{judge.name}: {error}"
    if not note and any(value is None for value in values.values()):
        note = f"{judge.name} could not judge this"
    return base(prompt=prompt.id if prompt else None, judge=judge.name, values=values, note=note)


def is_validation(prompt: Prompt) -> bool:
    return "validation" in prompt.tags


def _compare(study: Study, base: Any, rows: list[dict[str, np.ndarray]], reference: _Features) -> Iterator[Score]:
    """One row per set judge: its parts over the test prompts, and as part@validation over the validation prompts."""
    held_out = np.array([is_validation(p) for p in study.prompts])
    for judge in study.setjudges:
        sample = np.stack([row[judge.name] for row in rows])
        scores = {
            ending: scored(base, None, judge, functools.partial(judge.compare, sample[chosen], reference[judge.name][chosen]))
            for ending, chosen in (("", ~held_out), ("@validation", held_out))
            if chosen.any()
        }
        values = {part + ending: value for ending, score in scores.items() for part, value in score.values.items()}
        notes = sorted({score.note for score in scores.values()} - {""})
        yield base(prompt=None, judge=judge.name, values=values, note="; ".join(notes))


def _reference(study: Study, place: Place, seed: int, log: Log) -> _Features:
    """Every set judge's features (N, D) of the truth at its own sample seed; made once, by whichever cell comes first."""
    truth = study.anchors["truth"]
    protocol = [judge.protocol() for judge in study.setjudges]
    name = record.fingerprint([truth.identity(0), list(study.prompts), seed + REFERENCE_SHIFT, protocol])
    path = place.work / "reference" / f"{name}.npz"
    with files.lock(place.work / "locks" / f"reference-{name}.lock"):
        if not path.is_file():
            truth.prepare(0, place.models, log)
            sampler = truth.sampler(0, place.models)
            rows = [_described(study, clip, Features(clip)) for clip in sampler(study.prompts, seed + REFERENCE_SHIFT)]
            _save_arrays(path, {judge.name: np.stack([row[judge.name] for row in rows]) for judge in study.setjudges})
    with np.load(path) as found:
        return {judge.name: found[judge.name] for judge in study.setjudges}


def _described(study: Study, clip: Clip, memo: Features) -> dict[str, np.ndarray]:
    return {judge.name: judge.feature(clip, memo) for judge in study.setjudges}


def _save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    files.write_bytes(path, buffer.getvalue())


def _probe(study: Study, cell: Cell, place: Place, log: Log) -> list[Score]:
    """Every probe, once: a probe chooses the model's grids itself, so its rows stand under the cell's first setting.

    An arm that cannot be stepped (the truth, videos on disk) has no such rows."""
    setting = settings(study, cell)[0]
    arm = arm_at(study, cell, setting)
    if not study.probes or not isinstance(arm.sampler(cell.train_seed, place.models), Steppable):
        return []
    jobs = [(seed, probe) for seed in study.sample_seeds for probe in study.probes]
    scores = []
    for (seed, probe), part in zip(jobs, _parts(log, len(jobs)), strict=True):
        base = functools.partial(Score, cell.arm, setting, cell.train_seed, sample_seed=seed)
        asked = probe(arm, cell.train_seed, place.models, study.prompts, seed, _as_stage("probe", part))
        scores += [scored(base, prompt, probe, lambda values=values: values) for prompt, values in asked]
    return scores


def _as_stage(stage: str, log: Log) -> Log:
    """Whatever a probe calls its steps, they are part of this stage."""
    return lambda _, fraction: log(stage, fraction)


def _tidy(study: Study, cell: Cell, place: Place) -> None:
    """Removes clips of an earlier checkpoint or protocol."""
    wanted = {place.clips(study, cell, setting, seed).stem for setting, seed in _shots(study, cell)}
    for path in (place.work / "clips" / cell.slug).glob("*"):
        if path.stem not in wanted:
            path.unlink()
