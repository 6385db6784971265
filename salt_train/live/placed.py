"""A memory of keys and values that is written in place: what a window forgets is overwritten, and nothing is ever moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from salt_train.backbones.attention import Pair
from salt_train.caches.base import CachePolicy

OVERWRITTEN = -1
"""The version of a memory that another video has taken."""


@dataclass(eq=False)
class Memory:
    """Room for the keys and values of `capacity` latent frames, one pair (B, capacity·tokens, D) per block, and the frame that
    each place holds (None: free). It is written in place; `version` counts the chunks that it has been told to remember."""

    tokens: int
    places: list[int | None]
    keys: list[Tensor]
    values: list[Tensor]
    version: int = 0

    @classmethod
    def empty(cls, blocks: int, capacity: int, tokens: int, like: Tensor) -> Memory:
        """`like` (B, D) gives batch, width, dtype and device."""
        shape = (len(like), capacity * tokens, like.shape[1])
        keys, values = ([like.new_empty(shape) for _ in range(blocks)] for _ in range(2))
        return cls(tokens, [None] * capacity, keys, values)

    def room(self, kept: tuple[int, ...], new: int) -> int | None:
        """The first of `new` neighbouring places that hold nothing of `kept`, such that both together fill the front without a
        gap; None where the places are too few or lie otherwise."""
        total = len(kept) + new
        if total > len(self.places):
            return None
        free = [i for i, frame in enumerate(self.places[:total]) if frame not in kept]
        return free[0] if len(free) == new and free[-1] - free[0] == new - 1 else None

    def arranged(self, kept: tuple[int, ...], new: int) -> Memory:
        """A memory of `kept` alone, in order and in front, with room for `new` more: this one where it is large enough."""
        lying, total = [self.places.index(frame) for frame in kept], len(kept) + new
        made = self
        if total > len(self.places):
            made = replace(Memory.empty(len(self.keys), total, self.tokens, self.keys[0][:, 0]), version=self.version)
        for old, other in zip((*self.keys, *self.values), (*made.keys, *made.values), strict=True):
            other[:, made.at(0, len(kept))] = torch.cat([old[:, :0], *(old[:, self.at(place)] for place in lying)], 1)
        made.places = [*kept, *[None] * (len(made.places) - len(kept))]
        return made

    def fits(self, batch: int, capacity: int, tokens: int) -> bool:
        """Whether it can hold `capacity` frames of `tokens` tokens of so many videos."""
        return len(self.keys[0]) == batch and len(self.places) >= capacity and self.tokens == tokens

    def emptied(self) -> Memory:
        """The same tensors for another video; caches of the one before are told that they are overwritten."""
        self.version = OVERWRITTEN
        return replace(self, places=[None] * len(self.places), version=0)

    def at(self, place: int, count: int = 1) -> slice:
        """The tokens of `count` places."""
        return slice(place * self.tokens, (place + count) * self.tokens)

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))


@dataclass(eq=False)
class Holder:
    """Where a video's memory stands; made when the size of its frames is known."""

    memory: Memory | None = None


@dataclass(frozen=True, eq=False)
class PlacedCache:
    """A `KVCache` whose frames lie in a memory that later chunks overwrite: only the newest can be read."""

    policy: CachePolicy
    seen: int
    frames: tuple[int, ...]
    text: tuple[Pair, ...]
    holder: Holder = field(default_factory=Holder)
    version: int = 0

    @property
    def bytes(self) -> int:
        """Memory of the frames' keys and values, places that are free included."""
        return self.holder.memory.bytes if self.holder.memory else 0

    def only(self, frames: Sequence[int]) -> PlacedCache:
        return replace(self, frames=tuple(f for f in frames if f in self.frames))

    def memory(self) -> Memory | None:
        """Raises ValueError where it has gone on without this."""
        memory = self.holder.memory
        if memory is not None and memory.version != self.version:
            raise ValueError(
                f"this cache of {self.seen} latent frames has been overwritten by later ones; branching needs the sampler that "
                "copies (Wan)"
            )
        return memory


@dataclass(frozen=True, eq=False)
class Chunk:
    """What one pass writes and reads: `own`, the positions in time of its frames, which go to `memory` from place `first` on,
    and `lying`, those of all frames that it sees, as they lie. Without a memory it sees itself. Where places move
    (`moving`), keys are kept without a position in time and get it when they are read."""

    own: tuple[int, ...]
    lying: tuple[int, ...]
    memory: Memory | None
    first: int
    moving: bool = False

    def room(self, block: int, like: Tensor) -> tuple[Tensor, Tensor, slice]:
        """Keys and values (B, N, D) that a block reads, and which of them are the chunk's own, yet to be written."""
        if self.memory is None:
            return torch.empty_like(like), torch.empty_like(like), slice(None)
        all_of_it = self.memory.at(0, len(self.lying))
        keys, values = self.memory.keys[block][:, all_of_it], self.memory.values[block][:, all_of_it]
        return keys, values, self.memory.at(self.first, len(self.own))
