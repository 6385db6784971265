"""One decode of one video, seen by every pass that still wants frames."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from salt_bench.errors import UserError
from salt_bench.judges.vbench.base import Found, Pass, Refused, Video
from salt_bench.judges.vbench.decode import Film, opened


class Look:
    """A pass in the middle of one video: it is shown every block and takes from it the frames that the pass chose."""

    def __init__(self, kind: Pass, video: Video) -> None:
        self.kind, self.seconds, self.error = kind, 0.0, ""
        self._seen = self._given = 0
        self._chosen: Sequence[int] | None = None
        self.wants = True
        with _Guard(self):
            self._chosen = kind.chosen(video)
            self._running = kind.start(video)
            self.wants = self._chosen is None or len(self._chosen) > 0

    def offer(self, frames: np.ndarray) -> None:
        """Shows the next frames, uint8 (t, H, W, 3)."""
        with _Guard(self):
            picked = self._picked(frames)
            if len(picked):
                self.wants = self._running.take(picked) and (self._chosen is None or self._given < len(self._chosen))
        self._seen += len(frames)

    def _picked(self, frames: np.ndarray) -> np.ndarray:
        if self._chosen is None:
            return frames
        left = self._chosen[self._given :]
        here = [index - self._seen for index in left if index < self._seen + len(frames)]
        self._given += len(here)
        return frames[here]

    def result(self) -> Found | None:
        """What was found, or None where `error` says why nothing was."""
        if not self.error:
            with _Guard(self):
                return self._running.result()
        return None


class _Guard:
    """Times a pass, and turns what it raises into its error: one video must not end the run over thousands."""

    def __init__(self, look: Look) -> None:
        self.look = look

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self.look.seconds += time.perf_counter() - self.began
        if not isinstance(error, Exception) or (isinstance(error, UserError) and not isinstance(error, Refused)):
            return False  # wrong weights, a full disk: no other video will do better
        said = str(error).splitlines() or [type(error).__name__]
        self.look.error = (
            said[0] if isinstance(error, Refused) else f"{type(error).__name__} in {self.look.kind.name}: {said[0]}"
        )
        self.look.wants = False
        return True


@dataclass(frozen=True)
class Seen:
    """A video after its decode: what is known of it, what each pass found or why it did not, and what that took."""

    video: Video
    notes: tuple[str, ...]
    found: dict[str, Found]
    errors: dict[str, str]
    decodes: int
    seconds: dict[str, float]


def see(video: Video, choose: Callable[[Video], Sequence[Pass]]) -> Seen:
    """Shows the video to all passes that `choose` names, once its size is known, in one decode. Raises Refused where no frame
    can be read.

    A second decode is needed only where a file turns out to hold another number of frames than its packets promise."""
    frames, done = 0, False
    decodes: list[list[Look]] = []
    while not done and len(decodes) < 2:
        with opened(video.path) as film:
            frames = frames or film.frames
            video = replace(video, frames=frames, height=film.height, width=film.width, fps=film.fps)
            looks = [Look(kind, video) for kind in choose(video)]
            count = _show(film, looks)
        decodes.append(looks)
        done = count is None or count == frames
        frames = count or frames
    found = {look.kind.name: result for look in looks if (result := look.result()) is not None}
    errors = {look.kind.name: look.error for look in looks if look.error}
    seconds = Counter[str]()
    for each in decodes:
        seconds.update({look.kind.name: look.seconds for look in each})
    return Seen(video, film.notes, found, errors, len(decodes), dict(seconds))


def _show(film: Film, looks: Sequence[Look]) -> int | None:
    """How many frames there were; None where nobody wanted the last ones, or could have had them."""
    count = 0
    try:
        for block in film.blocks({look.kind.size for look in looks} | {None}):
            for look in looks:
                if look.wants:
                    look.offer(block[look.kind.size])
            count += len(block[None])
            if film.certain and not any(look.wants for look in looks):
                return None
    except Refused as error:
        for look in looks:
            if look.wants:
                look.error = str(error)
        return None
    return count
