"""What a world is: prompts with factors, and videos of them that are true by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from salt_bench.rng import Draws
from salt_bench.types import Prompt


def switch(before: Prompt, after: Prompt, at: int) -> Prompt:
    """The prompt that asks for `before`, and from frame `at` on for `after`.

    Its factors are first frame → prompt id ("0" and "12", say); its tags are those of both."""
    if at < 1 or before.world != after.world or changes(before) or changes(after):
        asked = f"{before.id!r} and {after.id!r} at frame {at}"
        raise ValueError(f"a switch joins two plain prompts of one world at frame 1 or later, got {asked}")
    text = f"{before.text}, and from frame {at} on {after.text}"
    name = f"{before.id}+{at}+{after.id.removeprefix(after.world + ':')}"
    return Prompt(name, text, before.world, {"0": before.id, str(at): after.id}, before.tags | after.tags)


def changes(prompt: Prompt) -> tuple[int, ...]:
    """The frames at which the caption becomes another one; none for a plain prompt."""
    return tuple(sorted(int(name) for name in prompt.factors if name.isdecimal() and name != "0"))


@runtime_checkable
class World(Protocol):
    """A synthetic world with ground truth. `render` is deterministic per (prompt, seed) and vectorised over prompts."""

    name: ClassVar[str]

    @property
    def frames(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def fps(self) -> float: ...

    def prompts(self, split: str) -> tuple[Prompt, ...]:
        """The prompts of "train", "validation" or "test": disjoint, and always in the same order."""

    def batch(self, draws: Draws, size: int) -> list[Prompt]:
        """`size` training prompts, drawn as a trainer should see them."""

    def render(self, prompts: Sequence[Prompt], seed: int, frames: int | None = None) -> np.ndarray:
        """uint8 (N, T, H, W, C): one true video per prompt, each a function of (prompt.id, seed) alone.

        T is `frames`, or the world's own number of frames where that is None. A longer video begins with the shorter one."""

    def parts(self, prompt: Prompt) -> tuple[tuple[int, Prompt], ...]:
        """The captions of a prompt in the order of time, each with its first frame: one, from frame 0 on, but for a prompt that
        `switch` made."""

    def endless(self, prompt: Prompt) -> bool:
        """Whether the truth of `prompt` can go on for any length without contradicting its caption."""

    def slots(self, prompt: Prompt) -> tuple[Mapping[str, str], ...]:
        """The prompt as a few tokens, each a bag of features: what a contextual text encoder would hand to a network."""

    def vocabulary(self) -> tuple[str, ...]:
        """Every "feature=value" that `slots` can give, in a fixed order."""


@runtime_checkable
class OfWorld(Protocol):
    """An arm that was made for a world, and so can be asked for that world's prompts."""

    @property
    def world(self) -> World: ...
