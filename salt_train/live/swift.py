"""Sampling as fast as the machine allows: the numbers of `Wan`, without gradient, in few kernels and with no copy of the past.

What the stock class does in some forty small kernels per block, three pure functions do here, which `torch.compile` fuses
around their matrix products: one compilation serves all blocks, since weights are arguments. Keys and values of the present
chunk are written where they belong in a memory that is allocated once; attention is a sum over a set, so a window needs no
order: what it forgets is overwritten, and nothing is moved, cloned or joined.

What each step brings, Wan 2.1 1.3B in bf16, 81 frames of 480×832, chunks of 3, 4 steps, on one H100 (first rows: alone):

    attention of 4,680 tokens to 32,760      flash 310, cuDNN 545 TFLOP/s (of 796 that a matrix product reaches): cuDNN first
    decoding a latent frame                  stock 87 ms; streamed, fused, channels last 41 ms; three at once 38 ms: one by one
    denoising a video                        plain 3.15 s; fused, no clones, nobody waits inside of a chunk 2.00 s
    of these 2.00 s                          attention 1.11, matrix products .57, all else .25; idle .07

With a `recorder` every evaluation is one launch (graphs.py), for chunks so small that Python cannot start their kernels as fast
as they run: on an H200 1.28 times as fast frame by frame with 2 steps, 1.02 times in chunks of 3 with 4. Without compilation,
on a CPU, swift is as fast as the plain network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_train.backbones.attention import Pair, Rope, attend, caption
from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.backbones.wan import Wan, WanSpec, precondition
from salt_train.caches.base import CachePolicy
from salt_train.live.graphs import Given, Recorder, Repeated, Run
from salt_train.live.placed import Chunk, Holder, Memory, PlacedCache
from salt_train.live.regions import Regions, ask, feed, fused, look, modulated, turned


class Swift(Backbone):
    """`net`'s own weights, cast to `dtype`; with `compiled`, its regions are fused when they first run. `room` is the number of
    latent frames that a memory has places for at first. For sampling alone: no gradient, no tap, no pass over all chunks.

    With a `recorder` evaluations are recorded and repeated; all videos then share one memory, and a new one ends the last."""

    def __init__(
        self,
        net: Wan,
        room: int,
        dtype: torch.dtype = torch.bfloat16,
        compiled: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__()
        self.wan, self.room, self.dtype = net.requires_grad_(False).eval(), room, dtype
        cast(net.net, dtype)
        self.weights = [fused(block) for block in net.net.blocks]
        self.regions = Regions(look, ask, feed).compiled() if compiled else Regions(look, ask, feed)
        self.captions: tuple[Tensor, tuple[Pair, ...]] | None = None
        self.recorder = recorder
        self.shared = Holder() if recorder else None
        self.evaluate: Run = Repeated(self._velocity, recorder) if recorder else self._velocity

    @property
    def std(self) -> Tensor:  # type: ignore[override]
        return self.wan.std

    @property
    def spec(self) -> WanSpec:
        return self.wan.spec

    @property
    def recorded_bytes(self) -> int:
        """What recordings need besides the tensors that are known to be in use."""
        return self.recorder.bytes if self.recorder else 0

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        if tap >= 0 or causal is not None or torch.is_grad_enabled():
            raise ValueError("this network samples, without gradients: train and probe the `Wan` whose numbers it gives")
        frames = x.shape[2]
        if cache is None:
            own = tuple(range(frames))
            return Output(self._run(x, sigma, self._text(cond), 0, Chunk(own, own, None, 0)))
        return Output(self._run(x, sigma, cache.text, cache.seen, self._chunk(cache, x)))

    def begin(self, cond: Tensor, policy: CachePolicy) -> PlacedCache:
        return PlacedCache(policy, 0, (), self._text(cond))

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> PlacedCache:
        chunk = self._chunk(cache, x)
        self._run(x, torch.full((len(x),), sigma, device=x.device), cache.text, cache.seen, chunk)
        memory, seen = chunk.memory, cache.seen + x.shape[2]
        assert memory is not None
        memory.places[chunk.first : chunk.first + x.shape[2]] = range(cache.seen, seen)
        memory.version += 1
        stored = set(cache.policy.stored(seen))
        frames = tuple(sorted(f for f in memory.places if f is not None and f in stored))
        return replace(cache, seen=seen, frames=frames, version=memory.version)

    def _chunk(self, cache: PlacedCache, x: Tensor) -> Chunk:
        """Where the chunk `x` is written and what it reads; the memory is made, or made larger, where it must be."""
        policy, new = cache.policy, x.shape[2]
        kept = tuple(f for f in policy.kept(cache.seen, new) if f in cache.frames)
        memory = cache.memory() or self._fresh(cache, x)
        memory.places = [f if f in cache.frames else None for f in memory.places]
        gone = [f for f in kept if f not in memory.places]
        if gone:
            raise ValueError(f"latent frames {gone} have been overwritten by a larger chunk; keep to one size of chunk")
        first = memory.room(kept, new)
        if first is None:
            memory = cache.holder.memory = memory.arranged(kept, new)
            first = len(kept)
        if self.shared:
            self.shared.memory = memory
        memory.places[first : first + new] = [None] * new
        past, own = policy.places(kept, cache.seen, new)
        known = dict(zip(kept, past, strict=True))
        lying = [known[f] for f in memory.places[: len(kept) + new] if f is not None]
        return Chunk(own, (*lying[:first], *own, *lying[first:]), memory, first, policy.moving)

    def _fresh(self, cache: PlacedCache, x: Tensor) -> Memory:
        capacity, tokens = max(self.room, x.shape[2]), self.spec.tokens(x.shape[1:])
        made = self.shared.memory if self.shared else None
        if made and made.fits(len(x), capacity, tokens):
            made = made.emptied()
        else:
            like = torch.empty(len(x), self.spec.width, dtype=self.dtype, device=x.device)
            made = Memory.empty(len(self.weights), capacity, tokens, like)
        cache.holder.memory = made
        return made

    def _text(self, cond: Tensor) -> tuple[Pair, ...]:
        """Keys and values of the captions, made once as long as they stay the same tensor."""
        if self.captions is None or self.captions[0] is not cond:
            with torch.no_grad():
                tokens = self.wan.net.condition_embedder.text_embedder(cond.to(self.dtype))
                self.captions = (cond, tuple(caption(block.attn2, tokens) for block in self.wan.net.blocks))
        return self.captions[1]

    def _run(self, x: Tensor, sigma: Tensor, text: tuple[Pair, ...], seen: int, chunk: Chunk) -> Tensor:
        """The velocity of x (B, C, f, H, W), whose keys and values go where `chunk` says."""
        height, width = self._size(x)
        rope: Rope = self.wan.net.rope
        query = rope.waves(chunk.own, (height, width), x)
        key = rope.waves((0,) * len(chunk.own), (height, width), x) if chunk.moving else query
        time = rope.waves(chunk.lying, (1, height * width), x, still=True) if chunk.moving else None
        with torch.no_grad():
            return self.evaluate(Given(x, self.wan.places(x, seen), sigma, query, key, time, text), chunk)

    def _size(self, x: Tensor) -> tuple[int, int]:
        """Tokens of a latent frame, down and across."""
        height, width = (n // p for n, p in zip(x.shape[3:], self.spec.patch[1:], strict=True))
        return height, width

    def _velocity(self, given: Given, chunk: Chunk) -> Tensor:
        """Depends on the numbers that are given and in memory, and on where `chunk` lies there, but on none of its times."""
        x, net = given.x, self.wan.net
        with fastest(x.device):
            a, b, scale = precondition(given.sigma, self.std) if self.spec.precondition else (0.0, 1.0, 1.0)
            x_in = torch.cat([x * scale, given.place], 1).to(self.dtype)
            tokens = net.patch_embedding(x_in).flatten(2).transpose(1, 2).contiguous()
            moment, modulation = self._time(given.sigma)
            tokens = self._blocks(tokens, modulation, given, chunk)
            out = unpatched(self._head(tokens, moment), (x.shape[2], *self._size(x)), self.spec.patch)
            return a * x + b * out.to(x.dtype)

    def _time(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding (B, D) of noise levels (B,), and from it the modulation (B, 6, D) of every block."""
        embedder = self.wan.net.condition_embedder
        moment = embedder.time_embedder(embedder.timesteps_proj(sigma * 1000)).to(self.dtype)
        return moment, embedder.time_proj(F.silu(moment)).unflatten(1, (6, -1)).float()

    def _blocks(self, tokens: Tensor, modulation: Tensor, given: Given, chunk: Chunk) -> Tensor:
        heads, turns = self.spec.heads, (*given.query_turn, *given.key_turn)
        for i, weights in enumerate(self.weights):
            keys, values, own = chunk.room(i, tokens)
            query = self.regions.look(tokens, modulation, weights, *turns, keys[:, own], values[:, own])
            keys = keys if given.time is None else turned(keys.float(), *given.time).to(keys.dtype)
            tokens, query = self.regions.ask(tokens, attend(query, keys, values, heads), modulation, weights)
            tokens = self.regions.feed(tokens, attend(query, *given.text[i], heads), modulation, weights)
        return tokens

    def _head(self, tokens: Tensor, moment: Tensor) -> Tensor:
        net = self.wan.net
        shift, scale = (net.scale_shift_table + moment[:, None]).chunk(2, dim=1)
        return net.proj_out(modulated(tokens, scale, shift))


def unpatched(patches: Tensor, size: tuple[int, ...], patch: tuple[int, int, int]) -> Tensor:
    """(B, f·h·w, p·C) to (B, C, F, H, W)."""
    x = patches.unflatten(1, size).unflatten(-1, (*patch, -1))
    return x.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def cast(net: nn.Module, dtype: torch.dtype) -> None:
    """The weights of a stock transformer to `dtype`, but for those that its class keeps in float32."""
    kept = ("time_embedder", "norm2", "scale_shift_table")
    for name, parameter in net.named_parameters():
        if not set(kept) & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)


@contextmanager
def fastest(device: torch.device) -> Iterator[None]:
    """Attention by cuDNN, which is the fastest there is on a GPU of these days, else as torch prefers."""
    if device.type != "cuda":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    with sdpa_kernel(order, set_priority=True):
        yield
