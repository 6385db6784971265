"""The passes that look at one clip: each takes the frames that it chose, and what breaks one of them costs no other."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from salt_bench.errors import UserError
from salt_bench.judges.vbench.base import Found, Pass, Refused, Video
from salt_bench.judges.vbench.decode import Size


@dataclass(frozen=True)
class Said:
    """By the name of a pass: what it found, or why nothing, and the seconds that it took."""

    found: Mapping[str, Found]
    errors: Mapping[str, str]
    seconds: Mapping[str, float]


class Audience(ABC):
    """Who looks at the frames of one clip."""

    @property
    @abstractmethod
    def wants(self) -> bool:
        """Whether another frame could change anything."""

    @abstractmethod
    def take(self, block: Mapping[Size, np.ndarray]) -> None:
        """The clip's next frames."""

    @abstractmethod
    def refuse(self, why: str) -> None:
        """Nothing more can be had."""

    @abstractmethod
    def said(self) -> Said:
        """What came of it; called once."""


class Looking(Audience):
    """The passes themselves."""

    def __init__(self, clip: Video, kinds: Sequence[Pass]) -> None:
        self.looks = [Look(kind, clip) for kind in kinds]

    @property
    def wants(self) -> bool:
        return any(look.wants for look in self.looks)

    def take(self, block: Mapping[Size, np.ndarray]) -> None:
        for look in self.looks:
            if look.wants:
                look.offer(block[look.kind.size])

    def refuse(self, why: str) -> None:
        for look in self.looks:
            if look.wants:
                look.error = why

    def said(self) -> Said:
        found = {look.kind.name: result for look in self.looks if (result := look.result()) is not None}
        errors = {look.kind.name: look.error for look in self.looks if look.error}
        return Said(found, errors, {look.kind.name: look.seconds for look in self.looks})


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
