"""Many videos, many dimensions: every distinct pass once per video, in one decode, and never twice for the same bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from salt_bench import files
from salt_bench.judges.vbench import dimensions
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Refused, Setup, Video
from salt_bench.judges.vbench.decode import said
from salt_bench.judges.vbench.looking import see
from salt_bench.judges.vbench.store import Store


@dataclass(frozen=True)
class Job:
    """One video and what is asked of it. `name` is its path relative to the folder of videos."""

    name: str
    path: Path
    text: str
    index: int
    dimensions: tuple[str, ...]
    auxiliary: Mapping[str, Any] = field(default_factory=dict)
    image: Path | None = None

    def video(self) -> Video:
        return Video(self.path, 0, 0, 0, 0.0, self.text, self.index, self.auxiliary, self.image)


@dataclass(frozen=True)
class Row:
    """What one dimension said of one video; `value` None where `note` says why it said nothing."""

    video: str
    prompt: str
    sample_seed: int
    judge: str
    value: float | None
    weight: float
    note: str
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """A job that is finished. `seconds` are per pass; `decodes` is 0 where everything was known already."""

    job: Job
    rows: tuple[Row, ...]
    decodes: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """Judges one video after the other; a process makes its passes, and so its networks, once."""

    setup: Setup
    store: Store

    def __call__(self, job: Job) -> Done:
        began = time.perf_counter()
        asked = [dimensions.find(name) for name in job.dimensions]
        try:
            known = self._known(job, asked)
        except (Refused, OSError) as error:
            return failed(job, said(error))
        judged = [self._row(job, dimension, known) for dimension in asked]
        return Done(job, tuple(judged), known.decodes, known.seconds | {"all": time.perf_counter() - began})

    def _known(self, job: Job, asked: Sequence[Dimension]) -> _Known:
        digest = files.digest(job.path)
        facts = self.store.facts(digest)
        if facts:
            notes = tuple(facts.pop("notes"))
            video = replace(job.video(), **facts)
            kept = self._kept(digest, video, wanted(asked, video))
            if None not in kept.values():
                return _Known(video, notes, {name: found for name, found in kept.items() if found is not None}, {}, 0, {})
        return self._seen(job, digest, asked)

    def _seen(self, job: Job, digest: str, asked: Sequence[Dimension]) -> _Known:
        """Decodes, and keeps what is new."""

        def missing(video: Video) -> list[Pass]:
            kept = self._kept(digest, video, wanted(asked, video))
            return [made(kind, self.setup) for kind in wanted(asked, video) if kept[kind.name] is None]

        seen = see(job.video(), missing)
        kinds = wanted(asked, seen.video)
        for kind in kinds:
            if kind.name in seen.found:
                self.store.put(digest, kind, seen.video, seen.found[kind.name])
        facts = {name: value for name, value in asdict(seen.video).items() if name in ("frames", "height", "width", "fps")}
        self.store.keep_facts(digest, facts | {"notes": seen.notes})
        kept = self._kept(digest, seen.video, [kind for kind in kinds if kind.name not in seen.found])
        found = {name: one for name, one in kept.items() if one is not None} | seen.found
        return _Known(seen.video, seen.notes, found, seen.errors, seen.decodes, seen.seconds)

    def _kept(self, digest: str, video: Video, kinds: Sequence[type[Pass]]) -> dict[str, Found | None]:
        return {kind.name: self.store.get(digest, kind, video) for kind in kinds}

    def _row(self, job: Job, dimension: Dimension, known: _Known) -> Row:
        word = known.word(dimension)
        value = None if word.value is None else float(word.value)
        if value is not None and not math.isfinite(value):
            value, word = None, Judged(None, word.weight, f"the result is {value}, not a number")
        note = "; ".join(part for part in (word.note, *known.notes) if part)
        return Row(job.name, job.text, job.index, f"vbench/{dimension.name}", value, word.weight, note, word.extra)


@dataclass(frozen=True)
class _Known:
    """All that the dimensions of one video need: results by the name of their pass, or why there is none."""

    video: Video
    notes: tuple[str, ...]
    found: Mapping[str, Found]
    errors: Mapping[str, str]
    decodes: int
    seconds: dict[str, float]

    def word(self, dimension: Dimension) -> Judged:
        kinds = dimension.wants(self.video)
        for kind in kinds:
            if kind.name in self.errors:
                return Judged(None, note=self.errors[kind.name])
        try:
            return dimension(self.video, {kind: self.found[kind.name] for kind in kinds})
        except Exception as error:  # one video must not end the run over thousands
            return Judged(None, note=str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}")


@cache
def made(kind: type[Pass], setup: Setup) -> Pass:
    """The pass of this process."""
    return kind(setup)


def wanted(asked: Sequence[Dimension], video: Video) -> list[type[Pass]]:
    """The distinct passes that these dimensions need for this video, in order of first use."""
    return list(dict.fromkeys(kind for dimension in asked for kind in dimension.wants(video)))


def failed(job: Job, why: str) -> Done:
    """A job whose rows all say why there is no value."""
    rows = [Row(job.name, job.text, job.index, f"vbench/{name}", None, 1.0, why, {}) for name in job.dimensions]
    return Done(job, tuple(rows))
