"""Cache policies as data, and the cache as a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from salt_bench import record

PASTS = ("detached", "attached", "leaky")


@dataclass(frozen=True)
class CachePolicy(ABC):
    """Which past frames a chunk attends to, and where it places them. Frames are latent frames, counted from the video's first.

    `past` says what gradient the past carries in training. "detached": none, a chunk's loss stops at its own frames.
    "attached": all of it, through the clean pass that wrote the cache. "leaky": the values of the clean pass with the gradient
    of the noisy exit pass, as public Self Forcing code has them (a measured fault, kept for ablations).
    `context_noise` is the noise level at which a finished chunk is written.

    Two more measured faults of public code, kept for ablations. `frozen_text`: the caption's keys and values come from the
    cache in training too, and so get no gradient (Self Forcing without activation checkpointing). `recache_whole`: at a prompt
    switch all replayed frames go through the network at once and see each other both ways, unlike in generation (LongLive)."""

    past: str = "detached"
    context_noise: float = 0.0
    frozen_text: bool = record.added(False, kw_only=True)
    recache_whole: bool = record.added(False, kw_only=True)

    def __post_init__(self) -> None:
        if self.past not in PASTS:
            raise ValueError(f"the past is one of {', '.join(PASTS)}, got {self.past!r}")
        if not 0 <= self.context_noise < 1:
            raise ValueError(f"context noise is a noise level in [0, 1), got {self.context_noise}")

    @abstractmethod
    def kept(self, seen: int, new: int) -> tuple[int, ...]:
        """The frames below `seen` that a chunk of `new` frames starting there attends to, ascending. Whatever a chunk reads is
        among what a single frame in its place would read."""

    def stored(self, seen: int) -> tuple[int, ...]:
        """The frames below `seen` that are worth keeping, for chunks of any size."""
        return self.kept(seen, 1)

    def stays(self, frames: Sequence[int]) -> tuple[int, ...]:
        """Which of a cache's `frames` stay as they are at a prompt switch; the others are replayed under the new caption."""
        return ()

    moving: ClassVar[bool] = False
    """Whether a frame's place depends on who looks at it: keys are then stored without a place in time."""

    def places(self, past: Sequence[int], seen: int, new: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Positions in time, for the rotary embedding, of the past frames `past` and of the chunk's own frames."""
        return tuple(past), tuple(range(seen, seen + new))


@dataclass(frozen=True, eq=False)
class Piece:
    """What one pass wrote of `frames`: keys and values, one (B, frames·tokens, D) per block."""

    frames: tuple[int, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))

    def mapped(self, f: Callable[[Tensor], Tensor]) -> Piece:
        return replace(self, keys=tuple(map(f, self.keys)), values=tuple(map(f, self.values)))

    def only(self, frames: Collection[int]) -> Piece:
        """The piece of those of its frames that are among `frames`."""
        at = [i for i, frame in enumerate(self.frames) if frame in frames]
        if len(at) == len(self.frames):
            return self
        return replace(self.mapped(lambda t: picked(t, at, len(self.frames))), frames=tuple(self.frames[i] for i in at))

    def with_gradient_of(self, written: Sequence[tuple[Tensor, Tensor]], first: int, total: int) -> Piece:
        """The same values, with the gradient of `written`, another pass over `total` frames from `first` on."""
        at = [frame - first for frame in self.frames]
        keys, values = (tuple(picked(pair[i], at, total) for pair in written) for i in (0, 1))
        return replace(self, keys=_following(self.keys, keys), values=_following(self.values, values))


def _following(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(t + other - other.detach() for t, other in zip(tensors, others, strict=True))


def _joined(parts: Iterable[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Block by block what all parts have, one behind the other."""
    return tuple(torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))


@dataclass(frozen=True, eq=False)
class KVCache:
    """Keys and values of the frames that a policy keeps. Reading never changes it; whoever remembers makes a new one, which
    shares its pieces: a rollout that holds the cache of each of its chunks holds nothing twice.

    Keys are normed and turned to their place (in space only where the policy's places move). `text` holds one pair (B, L, D)
    per block, the caption's, computed once per prompt and read without gradient only."""

    policy: CachePolicy
    seen: int
    pieces: tuple[Piece, ...]
    text: tuple[tuple[Tensor, Tensor], ...]

    @property
    def frames(self) -> tuple[int, ...]:
        return tuple(frame for piece in self.pieces for frame in piece.frames)

    @property
    def keys(self) -> tuple[Tensor, ...]:
        """One (B, frames·tokens, D) per block."""
        return _joined(piece.keys for piece in self.pieces)

    @property
    def values(self) -> tuple[Tensor, ...]:
        """As `keys`."""
        return _joined(piece.values for piece in self.pieces)

    @property
    def bytes(self) -> int:
        """Memory of the frames' keys and values, the caption's not included."""
        return sum(piece.bytes for piece in self.pieces)

    def read(self, block: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, N, D) of a block: the frames', and behind them the given ones."""
        keys, values = [p.keys[block] for p in self.pieces], [p.values[block] for p in self.pieces]
        return torch.cat([*keys, key], 1), torch.cat([*values, value], 1)

    def detached(self) -> KVCache:
        """The same cache without history."""
        return replace(self, pieces=tuple(piece.mapped(Tensor.detach) for piece in self.pieces))

    def only(self, frames: Collection[int]) -> KVCache:
        """The cache of these frames, as far as it has them: after a prompt switch it begins in the middle of a video."""
        left = (piece.only(frames) for piece in self.pieces)
        return replace(self, pieces=tuple(piece for piece in left if piece.frames))

    def extended(self, written: Sequence[tuple[Tensor, Tensor]], new: int) -> KVCache:
        """The cache after `new` more frames, whose keys and values are `written`, one pair per block; the policy forgets."""
        seen = self.seen + new
        piece = Piece(tuple(range(self.seen, seen)), tuple(k for k, _ in written), tuple(v for _, v in written))
        return replace(self, seen=seen, pieces=(*self.pieces, piece)).only(self.policy.stored(seen))

    def with_gradient_of(self, before: KVCache, written: Sequence[tuple[Tensor, Tensor]]) -> KVCache:
        """The same values; those of the frames that `before` had carry its gradient, and those behind it carry that of
        `written`, another pass over them."""
        first, new = before.seen, self.seen - before.seen
        fresh = (piece.with_gradient_of(written, first, new) for piece in self.pieces if piece.frames[0] >= first)
        return replace(self, pieces=(*before.only(self.frames).pieces, *fresh))


def picked(tokens: Tensor, at: Sequence[int], frames: int) -> Tensor:
    """The tokens (B, len(at)·n, D) of the frames at positions `at` of tokens (B, frames·n, D)."""
    if list(at) == list(range(frames)):
        return tokens
    by_frame = tokens.unflatten(1, (frames, -1)) if frames else tokens[:, None]
    if at and list(at) == list(range(at[0], at[-1] + 1)):
        return by_frame[:, at[0] : at[-1] + 1].flatten(1, 2)  # a view where memory allows
    return by_frame[:, list(at)].flatten(1, 2)


def frame_bytes(layers: int, tokens: int, width: int, size: int) -> int:
    """Bytes that one latent frame takes in a cache: keys and values of `tokens` tokens of `width` numbers of `size` bytes in
    each of `layers` blocks (Wan 2.1 1.3B at 480p in bf16: 30, 1560, 1536, 2 → 287 539 200)."""
    return 2 * layers * tokens * width * size
