"""Many videos, many dimensions: every distinct pass once per video, in one decode, and never twice for the same bytes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from salt_bench import files
from salt_bench.judges.vbench import dimensions
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Refused, Setup, Video
from salt_bench.judges.vbench.decode import said
from salt_bench.judges.vbench.looking import Seen, watch, whole
from salt_bench.judges.vbench.store import Store


@dataclass(frozen=True)
class Job:
    """One video and what is asked of it. `name` is its path relative to the folder of videos; `cut` makes its clips, each of
    which is judged, of a video whose size is known."""

    name: str
    path: Path
    text: str
    index: int
    dimensions: tuple[str, ...]
    auxiliary: Mapping[str, Any] = field(default_factory=dict)
    image: Path | None = None
    cut: Callable[[Video], Sequence[Video]] = whole

    def video(self) -> Video:
        return Video(self.path, 0, 0, 0, 0.0, self.text, self.index, self.auxiliary, self.image)


@dataclass(frozen=True)
class Row:
    """What one dimension said of one video, or of a clip of it, called `video#clip`; `value` None where `note` says why it said
    nothing."""

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
        judged = [self._row(job, dimension, clip) for clip in known.clips for dimension in asked]
        return Done(job, tuple(judged), known.decodes, known.seconds | {"all": time.perf_counter() - began})

    def _known(self, job: Job, asked: Sequence[Dimension]) -> _Known:
        digest = files.digest(job.path)
        known = self._remembered(job, digest, asked)
        if known is None:
            with self.store.alone(digest):  # another process may be at a copy of this video
                known = self._remembered(job, digest, asked) or self._watched(job, digest, asked)
        return known

    def _remembered(self, job: Job, digest: str, asked: Sequence[Dimension]) -> _Known | None:
        facts = self.store.facts(digest)
        if facts is None:
            return None
        notes = tuple(facts.pop("notes"))
        cut = job.cut(replace(job.video(), **facts))
        clips = [clip for video in cut if (clip := self._whole(digest, video, notes, asked)) is not None]
        return _Known(tuple(clips), 0, {}) if len(clips) == len(cut) else None

    def _whole(self, digest: str, video: Video, notes: tuple[str, ...], asked: Sequence[Dimension]) -> _Clip | None:
        """What is known already, where that is all."""
        kept = self._kept(digest, video, wanted(asked, video))
        found = {name: one for name, one in kept.items() if one is not None}
        return _Clip(video, notes, found, {}) if len(found) == len(kept) else None

    def _watched(self, job: Job, digest: str, asked: Sequence[Dimension]) -> _Known:
        """Decodes, and keeps what is new."""

        def missing(video: Video) -> list[Pass]:
            kept = self._kept(digest, video, wanted(asked, video))
            return [made(kind, self.setup) for kind in wanted(asked, video) if kept[kind.name] is None]

        watched = watch(job.video(), job.cut, missing)
        clips = tuple(self._clip(digest, seen, asked) for seen in watched.clips)
        facts = {name: value for name, value in asdict(watched.video).items() if name in ("frames", "height", "width", "fps")}
        self.store.keep_facts(digest, facts | {"notes": watched.notes})
        seconds = sum((Counter(seen.seconds) for seen in watched.clips), Counter[str]())
        return _Known(clips, watched.decodes, dict(seconds))

    def _clip(self, digest: str, seen: Seen, asked: Sequence[Dimension]) -> _Clip:
        kinds = wanted(asked, seen.video)
        for kind in kinds:
            if kind.name in seen.found:
                self.store.put(digest, kind, seen.video, seen.found[kind.name])
        kept = self._kept(digest, seen.video, [kind for kind in kinds if kind.name not in seen.found])
        found = {name: one for name, one in kept.items() if one is not None} | dict(seen.found)
        return _Clip(seen.video, seen.notes, found, seen.errors)

    def _kept(self, digest: str, video: Video, kinds: Sequence[type[Pass]]) -> dict[str, Found | None]:
        return {kind.name: self.store.get(digest, kind, video) for kind in kinds}

    def _row(self, job: Job, dimension: Dimension, clip: _Clip) -> Row:
        word = clip.word(dimension)
        value = None if word.value is None else float(word.value)
        if value is not None and not math.isfinite(value):
            value, word = None, Judged(None, word.weight, f"the result is {value}, not a number")
        note = "; ".join(part for part in (word.note, *clip.notes) if part)
        name = f"{job.name}#{clip.video.span.name}" if clip.video.span else job.name
        return Row(name, job.text, job.index, f"vbench/{dimension.name}", value, word.weight, note, word.extra)


@dataclass(frozen=True)
class _Known:
    """All that is known of a video, clip by clip, and what it took."""

    clips: tuple[_Clip, ...]
    decodes: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Clip:
    """All that the dimensions of a clip need, or of a whole video: results by the name of their pass, or why there is none."""

    video: Video
    notes: tuple[str, ...]
    found: Mapping[str, Found]
    errors: Mapping[str, str]

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
