"""The layer of BERT (Devlin et al. 2018, post-norm) as GRiT and Tag2Text use it; what it remembers is passed, not kept.

Module names are those of BERT checkpoints ("attention.self.query.weight" …), so that their files load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.linear import Linear

EPS = 1e-12


@dataclass(frozen=True, eq=False)
class Memory:
    """What attention can look at: `keys` and `values`, each (B, heads, S, width of a head). `room`, if any, is a larger memory
    that begins with this one."""

    keys: Tensor
    values: Tensor
    room: Memory | None = None

    def __len__(self) -> int:
        return self.keys.shape[2]

    def roomy(self, more: int) -> Memory:
        """The same with room for `more` behind it, where `then` writes without a copy of what is there already."""
        whole = Memory(F.pad(self.keys, (0, 0, 0, more)), F.pad(self.values, (0, 0, 0, more)))
        return whole.first(len(self))

    def first(self, length: int) -> Memory:
        """The beginning of this, with the rest as its room."""
        return Memory(self.keys[:, :, :length], self.values[:, :, :length], self)

    def then(self, other: Memory) -> Memory:
        """This and, behind it, what came later. Of two that go on in the same room only the newer one is true."""
        end = len(self) + len(other)
        if self.room is None or end > len(self.room):
            return Memory(torch.cat([self.keys, other.keys], 2), torch.cat([self.values, other.values], 2))
        self.room.keys[:, :, len(self) : end] = other.keys
        self.room.values[:, :, len(self) : end] = other.values
        return self.room.first(end)

    def rows(self, index: Tensor) -> Memory:
        """The memories of other rows of the batch: what a beam needs when it goes on from another one."""
        return Memory(self.keys[index], self.values[index])


class Heads(nn.Module):
    """Multi-head attention without its output projection; `source` is the width of what it looks at."""

    def __init__(self, width: int, source: int) -> None:
        super().__init__()
        self.query = Linear(width, width)
        self.key = Linear(source, width)
        self.value = Linear(source, width)

    def remember(self, source: Tensor, heads: int) -> Memory:
        """(B, S, source) to its keys and values, for so many heads."""
        return Memory(split(self.key(source), heads), split(self.value(source), heads))

    def forward(self, x: Tensor, memory: Memory, mask: Tensor | None = None) -> Tensor:
        """(B, T, width) looks at `memory`; `mask` broadcasts to (B, heads, T, S), True where it may look."""
        query = split(self.query(x), memory.keys.shape[1])
        seen = F.scaled_dot_product_attention(query, memory.keys, memory.values, attn_mask=mask)
        return seen.transpose(1, 2).flatten(2)


def split(x: Tensor, heads: int) -> Tensor:
    """(B, T, width) to (B, heads, T, width of a head)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Joined(nn.Module):
    """A projection, joined to what it started from and normalised."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.dense = Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor, start: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + start)


class Attention(nn.Module):
    """Heads and their output; `self.self` is BERT's name for the former."""

    def __init__(self, width: int, heads: int, source: int) -> None:
        super().__init__()
        self.heads = heads
        self.self = Heads(width, source)
        self.output = Joined(width, width)

    def remember(self, source: Tensor, heads: int = 0) -> Memory:
        """What it will look at; with another number of `heads` where a network uses it in two ways."""
        return self.self.remember(source, heads or self.heads)

    def forward(self, x: Tensor, memory: Memory, mask: Tensor | None = None) -> Tensor:
        return self.output(self.self(x, memory, mask), x)


class Widened(nn.Module):
    """The widening half of the feed-forward network, with the exact GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class FeedForward(nn.Module):
    """The second half of every layer; checkpoints spread it over two names beside the attention, so layers derive from it."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate = Widened(width, inner)
        self.output = Joined(inner, width)

    def feed(self, x: Tensor) -> Tensor:
        return self.output(self.intermediate(x), x)


class Layer(FeedForward):
    """Self-attention and feed-forward."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__(width, inner)
        self.attention = Attention(width, heads, width)

    def forward(self, x: Tensor, past: Memory | None = None, mask: Tensor | None = None) -> tuple[Tensor, Memory]:
        """(B, T, width) looks at `past` and at itself; with its result, what the next call needs as `past`."""
        now = self.attention.remember(x)
        memory = now if past is None else past.then(now)
        return self.feed(self.attention(x, memory, mask)), memory


class Layers(nn.Module):
    """A stack; `layer` is its name in checkpoints."""

    def __init__(self, depth: int, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(width, heads, inner) for _ in range(depth))

    def forward(
        self, x: Tensor, pasts: Sequence[Memory] | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, list[Memory]]:
        """As a layer, with one past per layer."""
        memories = []
        for number, layer in enumerate(self.layer):
            x, memory = layer(x, pasts[number] if pasts else None, mask)
            memories.append(memory)
        return x, memories


class CrossLayer(FeedForward):
    """Self-attention, attention to something else of width `source`, feed-forward."""

    def __init__(self, width: int, heads: int, inner: int, source: int) -> None:
        super().__init__(width, inner)
        self.attention = Attention(width, heads, width)
        self.crossattention = Attention(width, heads, source)

    def forward(
        self, x: Tensor, other: Memory, past: Memory | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Memory]:
        """As in `Layer`, and looks at `other` in between, whose rows neighbours in x may share, see `across`."""
        now = self.attention.remember(x)
        memory = now if past is None else past.then(now)
        return self.feed(across(self.crossattention, self.attention(x, memory, mask), other)), memory


def across(attention: Attention, x: Tensor, other: Memory) -> Tensor:
    """Attention of (B·b, T, width) to `other` of B rows: b neighbours share a row, which nobody copies (nothing is masked)."""
    together = x.reshape(other.keys.shape[0], -1, x.shape[-1])
    return attention(together, other).reshape(x.shape)


def causal(new: int, seen: int, device: torch.device) -> Tensor:
    """(new, seen): the last `new` of `seen` positions, each of which may look at itself and all before it."""
    return torch.ones(new, seen, dtype=torch.bool, device=device).tril(seen - new)
