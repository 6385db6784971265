"""Evaluations that are recorded once and repeated: thousands of kernels that Python starts one by one become one launch.

A CUDA graph repeats what was recorded on the same addresses. So a memory keeps its place for all videos, what changes from
evaluation to evaluation is copied to where the recording reads it, and what is left, where in the memory a chunk is written and
how much of it is read, has a recording of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from salt_train.backbones.attention import Pair
from salt_train.live.placed import Chunk

KEPT = 64
"""Layouts that are recorded; a full memory of a long video has a new one with every chunk. All others run unrecorded."""


class Given(NamedTuple):
    """What an evaluation reads besides weights and memory: `x` (B, C, f, H, W) and its coordinate channels, noise levels (B,),
    the rotations of queries and of keys, and where places move that of all keys in time; keys and values of the caption."""

    x: Tensor
    place: Tensor
    sigma: Tensor
    query_turn: Pair
    key_turn: Pair
    time: Pair | None
    text: tuple[Pair, ...]


Run = Callable[[Given, Chunk], Tensor]


class Recorder(Protocol):
    """What can repeat a piece of work that reads and writes the same tensors every time."""

    def __call__(self, body: Callable[[], object]) -> Callable[[], None]:
        """Does `body` once, and returns what does it again."""

    @property
    def bytes(self) -> int:
        """What all recordings need besides the tensors that are known to be in use."""


class CudaGraphs:
    """Records on a GPU. All recordings share one pool of memory: they run one after the other, and nothing in it is needed once
    one has run."""

    def __init__(self) -> None:
        self.pool: Any = torch.cuda.graph_pool_handle()

    def __call__(self, body: Callable[[], object]) -> Callable[[], None]:
        body()  # compilation, and the plans that libraries make at first, cannot be recorded
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            body()
        again: Callable[[], None] = graph.replay
        return again

    @property
    def bytes(self) -> int:
        """What the allocator takes for free in the pool."""
        segments = (s for s in torch.cuda.memory_snapshot() if tuple(s["segment_pool_id"]) == tuple(self.pool))
        return sum(segment["total_size"] - segment["allocated_size"] for segment in segments)


class Layout(NamedTuple):
    """What cannot change in a recording: shapes, the memory, and which of its places are written and read."""

    shapes: tuple[torch.Size, ...]
    memory: int
    first: int
    own: int
    seen: int

    @classmethod
    def of(cls, given: Given, chunk: Chunk) -> Layout:
        shapes = (given.x.shape, given.text[0][0].shape)
        memory = id(chunk.memory.keys) if chunk.memory else 0  # a recording holds its memory, so no other gets its name
        return cls(shapes, memory, chunk.first, len(chunk.own), len(chunk.lying))


class Repeated:
    """`run`, recorded once for every layout and repeated from then on."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        self.run, self.recorder = run, recorder
        self.recorded: dict[Layout, Callable[[], None]] = {}
        self.places: dict[tuple[str, torch.Size], Tensor] = {}
        self.text: tuple[Pair, ...] = ()

    def __call__(self, given: Given, chunk: Chunk) -> Tensor:
        layout = Layout.of(given, chunk)
        if layout not in self.recorded and len(self.recorded) >= KEPT:
            return self.run(given, chunk)
        held, out = self._held(given), self._place("out", given.x)
        if layout in self.recorded:
            self.recorded[layout]()
        else:
            self.recorded[layout] = self.recorder(lambda: _fill(out, self.run(held, chunk)))
        return out.clone()

    def _held(self, given: Given) -> Given:
        """The same values where recordings read them."""
        known, self.text = given.text is self.text, given.text
        turns = {name: self._pair(name, pair) for name, pair in (("query", given.query_turn), ("key", given.key_turn))}
        return Given(
            self._copied("x", given.x),
            self._copied("place", given.place),
            self._copied("sigma", given.sigma),
            turns["query"],
            turns["key"],
            self._pair("time", given.time) if given.time else None,
            tuple(self._pair(f"text {i}", pair, known) for i, pair in enumerate(given.text)),
        )

    def _pair(self, name: str, pair: Pair, known: bool = False) -> Pair:
        first, second = (self._copied(f"{name} {i}", value, known) for i, value in enumerate(pair))
        return first, second

    def _copied(self, name: str, value: Tensor, known: bool = False) -> Tensor:
        place = self._place(name, value)
        return place if known else _fill(place, value)

    def _place(self, name: str, like: Tensor) -> Tensor:
        """Where values of this name and shape stand, in all recordings."""
        key = (name, like.shape)
        if key not in self.places:
            self.places[key] = like.new_empty(like.shape)
        return self.places[key]


def _fill(place: Tensor, value: Tensor) -> Tensor:
    return place.copy_(value)
