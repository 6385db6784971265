"""Videos on disk as an arm: what another program made is measured like what a study makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench import files, record
from salt_bench.errors import UserError
from salt_bench.types import Clip, Log, Prompt

SUFFIXES = (".mp4", ".webm", ".mkv", ".gif")
_BLOCK = 16  # frames that are decoded at once


@dataclass(frozen=True)
class Replay:
    """A folder with one video per prompt and sample seed, named "<prompt text>-<sample seed>.mp4" as VBench names them.

    A video file does not say in what chunks it was made: `chunk` does, in frames (0: at once). Nothing is trained, and a grid
    or a training seed changes nothing. Raises FileNotFoundError for a video that is missing."""

    folder: str
    chunk: int = 0

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def sampler(self, seed: int, workdir: Path) -> ReplaySampler:
        return ReplaySampler(Path(self.folder), self.chunk)

    def at(self, grid: tuple[float, ...]) -> Replay:
        return self

    def protocol(self) -> Mapping[str, Any]:
        return {"chunk": self.chunk} if self.chunk else {}

    def small(self) -> Replay:
        return self

    def identity(self, seed: int) -> Mapping[str, Any]:
        """The videos themselves; where they lie says nothing about them."""
        return {"videos": record.fingerprint({path.name: files.digest(path) for path in _videos(Path(self.folder))})}

    def evidence(self, seed: int, workdir: Path) -> str:
        return str(self.identity(seed)["videos"]) if _videos(Path(self.folder)) else ""


@dataclass(frozen=True)
class ReplaySampler:
    """Finds each prompt's video by its text and the sample seed."""

    folder: Path
    chunk: int = 0

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        for prompt in prompts:
            yield VideoClip(prompt, seed, self._find(f"{prompt.text}-{seed}"), chunk=self.chunk)

    def _find(self, stem: str) -> Path:
        for path in _videos(self.folder):
            if path.stem == stem:
                return path
        raise FileNotFoundError(f"{self.folder} holds no {stem}.mp4: name each video by its prompt's text and sample seed")


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []


def named(folder: Path) -> dict[str, list[int]]:
    """Prompt text → its sample seeds, as the names of the videos in `folder` say. Raises UserError for any other name."""
    found: dict[str, list[int]] = {}
    for path in _videos(folder):
        text, _, seed = path.stem.rpartition("-")
        if not (text and seed.isdecimal()):
            raise UserError(f"{path} is not named <prompt text>-<sample seed>{path.suffix}: rename it, or move it elsewhere")
        found.setdefault(text, []).append(int(seed))
    return found


def videos_arm(word: str) -> Replay | None:
    """The arm that a folder of videos on the command line stands for; None where the word is no folder with videos in it."""
    return Replay(word) if _videos(Path(word)) else None


@dataclass(frozen=True)
class VideoClip:
    """A video that is decoded as it is read; `nfe` is 0, since nobody counted."""

    prompt: Prompt
    seed: int
    path: Path
    nfe: int = 0
    chunk: int = 0

    @property
    def fps(self) -> float:
        import av

        with av.open(str(self.path)) as container:
            return float(container.streams.video[0].average_rate or 0)

    def blocks(self) -> Iterator[np.ndarray]:
        import av

        block: list[np.ndarray] = []
        with av.open(str(self.path)) as container:
            for frame in container.decode(video=0):
                block.append(frame.to_ndarray(format="rgb24"))
                if len(block) == _BLOCK:
                    yield np.stack(block)
                    block = []
        if block:
            yield np.stack(block)

    def frames(self, index: Sequence[int] | None = None) -> np.ndarray:
        if index is None:
            return np.concatenate(list(self.blocks()))
        return self._picked([int(i) for i in index])

    def _picked(self, index: list[int]) -> np.ndarray:
        """Only what is asked for is kept in memory."""
        kept: dict[int, np.ndarray] = {}
        wanted, at = set(index), 0
        for block in self.blocks():
            kept |= {at + i: frame for i, frame in enumerate(block) if at + i in wanted}
            at += len(block)
        if missing := wanted - set(kept):
            raise IndexError(f"{self.path.name} has {at} frames, got the index {min(missing)}")
        return np.stack([kept[i] for i in index])
