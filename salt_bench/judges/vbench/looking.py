"""One decode of one video, seen by every pass that still wants frames, in one piece or clip by clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from salt_bench.judges.vbench.audience import Audience, Looking, Said
from salt_bench.judges.vbench.base import Found, Pass, Refused, Video
from salt_bench.judges.vbench.decode import Film, Size, opened
from salt_bench.judges.vbench.recoding import PLAIN, Copy


@dataclass(frozen=True)
class Seen:
    """A video, or a clip of one, after the decode: what is known of it, what each pass found or why it did not, and what that
    took."""

    video: Video
    notes: tuple[str, ...]
    found: Mapping[str, Found]
    errors: Mapping[str, str]
    decodes: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Watched:
    """A video after its decode, and each of its clips."""

    video: Video
    notes: tuple[str, ...]
    clips: tuple[Seen, ...]
    decodes: int


Choose = Callable[[Video], Sequence[Pass]]
"""The passes that are to look at a video, its size known."""


def see(video: Video, choose: Choose) -> Seen:
    """Shows a whole video to all passes that `choose` names, in one decode. Raises Refused where no frame can be read."""
    return watch(video, whole, choose).clips[0]


def whole(video: Video) -> Sequence[Video]:
    """A video as its only clip."""
    return [video]


def watch(video: Video, cut: Callable[[Video], Sequence[Video]], choose: Choose) -> Watched:
    """Shows the clips into which `cut` cuts a video to their passes, all in one decode. Raises Refused where no frame can be
    read.

    A second decode is needed only where a file turns out to hold another number of frames than its packets promise."""
    frames = decodes = 0
    done = False
    while not done and decodes < 2:
        with opened(video.path) as film:
            frames = frames or film.frames
            video = replace(video, frames=frames, height=film.height, width=film.width, fps=film.fps)
            views = [View(clip, choose(clip)) for clip in cut(video)]
            count = show(film, views)
        decodes, done = decodes + 1, count is None or count == frames
        frames = count or frames
    clips = tuple(view.seen(film.notes, decodes) for view in views)
    return Watched(video, film.notes, clips, decodes)


def show(film: Film, views: Sequence[View]) -> int | None:
    """How many frames there were; None where nobody wanted the last ones, or could have had them."""
    count = 0
    try:
        for block in film.blocks({size for view in views for size in view.sizes} | {None}):
            for view in views:
                view.offer(block, count)
            count += len(block[None])
            if film.certain and not any(view.wants for view in views):
                return None
    except Refused as error:
        for view in views:
            view.refuse(str(error))
        return None
    return count


class View:
    """A clip in the middle of its video's decode. Its passes begin with its first frame and end with its last one: before and
    after that nothing of it is held but what was found."""

    def __init__(self, clip: Video, kinds: Sequence[Pass]) -> None:
        self.clip, self.kinds = clip, kinds
        self.encoding = clip.span.encoding if clip.span else PLAIN
        self._audience: Audience | None = None
        self._said = None if kinds else Said({}, {}, {})

    @property
    def sizes(self) -> set[Size]:
        """The sizes in which it wants frames."""
        return {kind.size for kind in self.kinds} if self.encoding == PLAIN else {None}

    @property
    def wants(self) -> bool:
        return self._said is None and (self._audience is None or self._audience.wants)

    def offer(self, block: Mapping[Size, np.ndarray], at: int) -> None:
        """Shows the frames from number `at` on, of which the clip's are taken."""
        count = len(block[None])
        first, end = (self.clip.span.first, self.clip.span.end) if self.clip.span else (0, at + count + 1)
        here = slice(max(first - at, 0), max(min(end - at, count), 0))
        if here.start < here.stop and self.wants and self._begun().wants:
            self._begun().take({size: block[size][here] for size in self.sizes})
            if self.clip.span and (end <= at + count or not self.wants):
                self._end()

    def refuse(self, why: str) -> None:
        """There are no more frames, and this is why."""
        if self.wants:
            self._begun().refuse(why)

    def seen(self, notes: tuple[str, ...], decodes: int) -> Seen:
        said = self._end()
        return Seen(self.clip, notes, said.found, said.errors, decodes, said.seconds)

    def _begun(self) -> Audience:
        if self._audience is None:
            copied = self.encoding != PLAIN
            self._audience = Copying(self.clip, self.kinds, self.encoding) if copied else Looking(self.clip, self.kinds)
        return self._audience

    def _end(self) -> Said:
        if self._said is None:
            self._said, self._audience = self._begun().said(), None
        return self._said


class Copying(Audience):
    """Who looks at a copy: the clip's frames are encoded as they come, and the passes see what is decoded again."""

    def __init__(self, clip: Video, kinds: Sequence[Pass], encoding: str) -> None:
        self._view = View(replace(clip, span=None), kinds)
        self._error, self._seconds = "", 0.0
        with self._told():
            self._copy = Copy(clip, encoding)

    @property
    def wants(self) -> bool:
        return not self._error

    def take(self, block: Mapping[Size, np.ndarray]) -> None:
        with self._told():
            self._copy.add(block[None])

    def refuse(self, why: str) -> None:
        self._error = why

    def said(self) -> Said:
        with self._told():
            copy = b"" if self._error else self._copy.finished()
        if not self._error:
            with opened(copy) as film:
                show(film, [self._view])
        self._view.refuse(self._error)
        seen = self._view.seen((), 0)
        return Said(seen.found, seen.errors, {**seen.seconds, "encoding": self._seconds})

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Times the encoder; what it refuses is the error of all passes."""
        began = time.perf_counter()
        try:
            yield
        except Refused as error:
            self._error = str(error)
        self._seconds += time.perf_counter() - began
