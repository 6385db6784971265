"""A sampler that is waited for: chunk by chunk, decoded as it comes, on the device and in the numbers that are asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from salt_bench import record
from salt_bench.errors import WrongUse
from salt_bench.rng import Draws
from salt_bench.types import SCOPES, Prompt, Running, State
from salt_train.backbones.base import Backbone
from salt_train.backbones.wan import WanSpec
from salt_train.live import work
from salt_train.live.stopwatch import Mark, Queue
from salt_train.live.swift import Swift
from salt_train.recipe import Sampling
from salt_train.rollout import Chunks, Context, Mover, Renoise, walk


def known(scope: str) -> None:
    """Raises WrongUse for a scope that there is not."""
    if scope not in SCOPES:
        raise WrongUse(f"a scope is one of {', '.join(SCOPES)}, got {scope!r}")


@dataclass(frozen=True, eq=False)
class Reader:
    """What reads captions, every time anew, to (1, L, D) on the device: a prompt's, and the empty one, shaped like another."""

    caption: Callable[[Prompt], Tensor]
    null: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Ready:
    """What a video starts from, on the device: captions, the empty one (None: without guidance) and noise."""

    context: Context
    null: Tensor | None
    noise: Tensor


@dataclass(eq=False)
class LiveSampler:
    """`net` runs down `sampling.grid` and `decoder()` begins to turn one video's latents into frames, (B, C, f, H, W) to uint8
    (B, t, H, W, 3), a few latent frames after the other."""

    net: Backbone
    spec: WanSpec
    sampling: Sampling
    latent: tuple[int, int, int, int]
    fps: float
    reader: Reader
    decoder: Callable[[], Callable[[Tensor], Tensor]]
    running: Running
    frames: Callable[[int], int]
    """Frames of video in the first so many latent frames."""
    asks: Callable[[str], Prompt]
    words: int = 0
    """Tokens of the caption that was read last."""
    queue: Queue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = Queue(torch.device(self.running.device))

    @property
    def chunks(self) -> Chunks | None:
        return self.sampling.chunks

    @property
    def steady(self) -> int:
        """A memory that only grows is never full, and a video that is made at once has one piece."""
        if self.chunks is None:
            return -1
        seen = self.chunks.sees(self.latent[1])
        first = seen.index(seen[-1])
        return first if first < len(seen) - 1 else -1

    def prompt(self, text: str) -> Prompt:
        return self.asks(text)

    def start(self, prompt: Prompt, seed: int, scope: str) -> Iterator[int]:
        known(scope)
        if scope == "end_to_end":
            return self._video(prompt, seed, scope, None)
        ready = self.ready(prompt, seed)
        self.queue.wait()
        return self._video(prompt, seed, scope, ready)

    def ready(self, prompt: Prompt, seed: int) -> Ready:
        """Reads the captions and draws the noise."""
        source = Draws(seed)("sample", prompt.id)
        with torch.no_grad():
            cond = self.reader.caption(prompt)
            null = self.reader.null(cond) if self.sampling.guidance != 1 else None
        self.words = cond.shape[1]
        noise = torch.from_numpy(source("noise").normal(self.latent))[None]
        return Ready(Context(cond, Renoise((source,))), null, noise.to(self.queue.device))

    def walk(self, ready: Ready) -> Iterator[State]:
        """The states of one video, chunk by chunk; under guidance both evaluations of a step are one batch."""
        how, null = self.sampling, ready.null
        mover = Mover(self.net, how.guidance, None if null is None else null.expand_as)
        return walk(mover, ready.noise, ready.context, how.levels, how.update, chunks=how.chunks)

    def _video(self, prompt: Prompt, seed: int, scope: str, ready: Ready | None) -> Iterator[int]:
        """Work is queued one piece ahead of what is waited for, so that the device never idles between two pieces."""
        ready = ready or self.ready(prompt, seed)
        decode = self.decoder() if scope != SCOPES[0] else None
        running: deque[tuple[int, Mark]] = deque()
        done = 0
        for state in self.walk(ready):
            if not state.sigma:
                before, done = done, done + state.x.shape[2]
                running.append((self.frames(done) - self.frames(before), self._finish(state.x, decode, scope)))
            while running and (len(running) > 1 or running[0][1].done()):
                yield self._wait(running)
        while running:
            yield self._wait(running)

    def _wait(self, running: deque[tuple[int, Mark]]) -> int:
        frames, mark = running.popleft()
        mark.wait()
        return frames

    def _finish(self, latents: Tensor, decode: Callable[[Tensor], Tensor] | None, scope: str) -> Mark:
        """Queues what is left to do with finished latents, and says when that is done."""
        if decode is None:
            return self.queue.mark()
        with self.queue.beside(latents), torch.no_grad():
            frames = decode(latents)
            if scope == SCOPES[2]:
                self.queue.fetched(frames)
            return self.queue.mark()

    def work(self) -> float:
        spec, steps, sides = self.spec, len(self.sampling.levels), self.sampling.sides
        if self.chunks is None:
            return sides * work.at_once(spec, self.latent, self.words, steps)
        again = self.running.network == "recompute"
        return sides * work.chunked(spec, self.latent, self.words, self.chunks, steps, again)

    def peak(self) -> int:
        return self.queue.peak() + (self.net.recorded_bytes if isinstance(self.net, Swift) else 0)

    def notes(self) -> Mapping[str, Any]:
        return {
            "network": record.dump(self.spec),
            "sampling": record.dump(self.sampling),
            "latent": list(self.latent),
            "running": record.dump(self.running),
        }
