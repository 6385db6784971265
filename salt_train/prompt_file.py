"""Training captions in a text file, one per line: all that a method needs that learns from its own rollouts. A folder of videos
of them serves the others (teacher forcing, consistency distillation, causal ODE regression)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from salt_bench import record
from salt_bench.errors import UserError
from salt_bench.prompts import captions
from salt_bench.prompts.names import SUFFIXES, file_name, parse
from salt_bench.rng import Draws
from salt_bench.types import Prompt


@dataclass(frozen=True)
class PromptFile:
    """A world of captions. `path` is a UTF-8 text file; empty lines do not count. `videos` is a folder with one or more videos
    of every caption, <caption>-0.mp4, <caption>-1.mp4 …, each as long and as large as the codec's clips; "" where there is
    none."""

    path: str
    name: ClassVar[str] = "prompt_file"
    videos: str = record.added("")

    def prompts(self, split: str) -> tuple[Prompt, ...]:
        """Every caption in the file's order, under its line number; "train" is the only split."""
        if split != "train":
            raise UserError(f"a prompt file has training captions only, got split {split!r}; give others by --captions FILE")
        return tuple(Prompt(f"{self.name}:{line}", text, self.name) for line, text in _lines(self.path))

    def batch(self, draws: Draws, size: int) -> list[Prompt]:
        """`size` captions, drawn with replacement."""
        known = self.prompts("train")
        return [known[i] for i in draws.generator().integers(len(known), size=size)]

    def render(self, prompts: Sequence[Prompt], seed: int, frames: int | None = None) -> np.ndarray:
        """uint8 (N, T, H, W, 3): one of each caption's videos, drawn by `seed`; their first `frames` frames (None: all)."""
        if not self.videos:
            raise UserError(
                f"{self.path} has captions and no videos of them: a term that learns from true videos (teacher forcing, "
                "consistency distillation, causal ODE regression) needs a world that has them; name their folder as `videos`"
            )
        found = [_frames(self._video(prompt, Draws(seed)("video", prompt.id)))[:frames] for prompt in prompts]
        if len({film.shape for film in found}) > 1:
            shapes = ", ".join(sorted({"×".join(map(str, film.shape[:3])) for film in found}))
            raise UserError(
                f"the videos in {self.videos} differ in frames, height or width ({shapes}); cut and scale them alike"
            )
        return np.stack(found)

    def _video(self, prompt: Prompt, draws: Draws) -> Path:
        known = _films(self.videos).get(prompt.text, ())
        if not known:
            raise UserError(f"{self.videos} holds no video of {prompt.text!r}; add {file_name(prompt.text, 0)}")
        return known[draws.choice(len(known))]

    def parts(self, prompt: Prompt) -> tuple[tuple[int, Prompt], ...]:
        return ((0, prompt),)

    def endless(self, prompt: Prompt) -> bool:
        """A caption in plain words says nothing of its length."""
        return True


@lru_cache(maxsize=4)
def _films(folder: str) -> dict[str, tuple[Path, ...]]:
    """Caption → its videos, by their names."""
    found: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).glob("*")):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(parse(path.name).text, []).append(path)
    return {text: tuple(paths) for text, paths in found.items()}


def _frames(path: Path) -> np.ndarray:
    """uint8 (T, H, W, 3)."""
    import av

    try:
        with av.open(str(path)) as film:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])
    except (OSError, ValueError, IndexError, av.FFmpegError) as error:
        raise UserError(f"{path} is no video that can be read ({error}); make it again") from None


@lru_cache(maxsize=4)
def _lines(path: str) -> tuple[tuple[int, str], ...]:
    """Read once: every update draws from them."""
    return captions.lines(Path(path))
