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

CUDA graphs were not tried: there is nothing left to hide. Without compilation, on a CPU, it is as fast as the plain network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_train.backbones.attention import Pair, attend, caption, rms_factor
from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.backbones.wan import Wan, WanSpec, precondition
from salt_train.caches.base import CachePolicy
from salt_train.live.placed import Chunk, Memory, PlacedCache

EPS = 1e-6


class Weights(NamedTuple):
    """One block's, matrices as they multiply: `qkv` is (3·D, D), `table` (6, D) float32."""

    table: Tensor
    qkv: Tensor
    qkv_bias: Tensor
    norm_query: Tensor
    norm_key: Tensor
    out: Tensor
    out_bias: Tensor
    norm: Tensor
    norm_bias: Tensor
    asks: Tensor
    asks_bias: Tensor
    told: Tensor
    told_bias: Tensor
    up: Tensor
    up_bias: Tensor
    down: Tensor
    down_bias: Tensor


@dataclass(frozen=True)
class Regions:
    """The three parts of a block between its two attentions."""

    look: Callable[..., Tensor]
    ask: Callable[..., tuple[Tensor, Tensor]]
    feed: Callable[..., Tensor]

    def compiled(self) -> Regions:
        """Each fused when it first runs."""
        parts: list[Any] = [torch.compile(f, dynamic=False, fullgraph=True) for f in (self.look, self.ask, self.feed)]
        return Regions(*parts)


class Swift(Backbone):
    """`net`'s own weights, cast to `dtype`; with `compiled`, its regions are fused when they first run. `room` is the number of
    latent frames that a memory has places for at first. For sampling alone: no gradient, no tap, no pass over all chunks."""

    def __init__(self, net: Wan, room: int, dtype: torch.dtype = torch.bfloat16, compiled: bool = False) -> None:
        super().__init__()
        self.wan, self.room, self.dtype = net.requires_grad_(False).eval(), room, dtype
        cast(net.net, dtype)
        self.weights = [fused(block) for block in net.net.blocks]
        self.regions = Regions(look, ask, feed).compiled() if compiled else Regions(look, ask, feed)
        self.captions: tuple[Tensor, tuple[Pair, ...]] | None = None

    @property
    def std(self) -> Tensor:  # type: ignore[override]
        return self.wan.std

    @property
    def spec(self) -> WanSpec:
        return self.wan.spec

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
        memory.places[first : first + new] = [None] * new
        past, own = policy.places(kept, cache.seen, new)
        known = dict(zip(kept, past, strict=True))
        lying = [known[f] for f in memory.places[: len(kept) + new] if f is not None]
        return Chunk(own, (*lying[:first], *own, *lying[first:]), memory, first, policy.moving)

    def _fresh(self, cache: PlacedCache, x: Tensor) -> Memory:
        like = torch.empty(len(x), self.spec.width, dtype=self.dtype, device=x.device)
        made = Memory.empty(len(self.weights), max(self.room, x.shape[2]), self.spec.tokens(x.shape[1:]), like)
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
        with torch.no_grad(), fastest(x.device):
            a, b, scale = precondition(sigma, self.std) if self.spec.precondition else (0.0, 1.0, 1.0)
            net, x_in = self.wan.net, torch.cat([x * scale, self.wan.places(x, seen)], 1).to(self.dtype)
            tokens = net.patch_embedding(x_in).flatten(2).transpose(1, 2).contiguous()
            moment, modulation = self._time(sigma)
            size = tuple(n // p for n, p in zip(x.shape[3:], self.spec.patch[1:], strict=True))
            tokens = self._blocks(tokens, modulation, text, chunk, net.rope, size, x)
            out = unpatched(self._head(tokens, moment), (x.shape[2], *size), self.spec.patch)
            return a * x + b * out.to(x.dtype)

    def _time(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The embedding (B, D) of noise levels (B,), and from it the modulation (B, 6, D) of every block."""
        embedder = self.wan.net.condition_embedder
        moment = embedder.time_embedder(embedder.timesteps_proj(sigma * 1000)).to(self.dtype)
        return moment, embedder.time_proj(F.silu(moment)).unflatten(1, (6, -1)).float()

    def _blocks(
        self,
        tokens: Tensor,
        modulation: Tensor,
        text: tuple[Pair, ...],
        chunk: Chunk,
        rope: Any,
        size: tuple[int, ...],
        like: Tensor,
    ) -> Tensor:
        heads, each = self.spec.heads, size[0] * size[1]
        query_turn = rope.waves(chunk.own, size, like)
        key_turn = rope.waves((0,) * len(chunk.own), size, like) if chunk.moving else query_turn
        time = rope.waves(chunk.lying, (1, each), like, still=True) if chunk.moving else None
        for i, weights in enumerate(self.weights):
            keys, values, own = chunk.room(i, tokens, each)
            query = self.regions.look(tokens, modulation, weights, *query_turn, *key_turn, keys[:, own], values[:, own])
            keys = keys if time is None else turned(keys.float(), *time).to(keys.dtype)
            tokens, query = self.regions.ask(tokens, attend(query, keys, values, heads), modulation, weights)
            tokens = self.regions.feed(tokens, attend(query, *text[i], heads), modulation, weights)
        return tokens

    def _head(self, tokens: Tensor, moment: Tensor) -> Tensor:
        net = self.wan.net
        shift, scale = (net.scale_shift_table + moment[:, None]).chunk(2, dim=1)
        return net.proj_out(modulated(tokens, scale, shift))


def look(
    x: Tensor,
    modulation: Tensor,
    w: Weights,
    query_cosine: Tensor,
    query_sine: Tensor,
    key_cosine: Tensor,
    key_sine: Tensor,
    keys: Tensor,
    values: Tensor,
) -> Tensor:
    """Tokens (B, N, D) to their queries; keys and values are written into `keys` and `values`."""
    shift, scale, *_ = (w.table + modulation).unsqueeze(2).unbind(1)
    query, key, value = F.linear(modulated(x, scale, shift), w.qkv, w.qkv_bias).chunk(3, -1)
    keys.copy_(turned(normed(key, w.norm_key), key_cosine, key_sine))
    values.copy_(value)
    return turned(normed(query, w.norm_query), query_cosine, query_sine).to(x.dtype)


def ask(x: Tensor, seen: Tensor, modulation: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
    """Tokens, with what they have seen of each other, and their queries to the caption."""
    gate = (w.table + modulation).unsqueeze(2).unbind(1)[2]
    x = (x.float() + F.linear(seen, w.out, w.out_bias) * gate).to(x.dtype)
    query = F.linear(F.layer_norm(x.float(), x.shape[-1:], w.norm, w.norm_bias, EPS).to(x.dtype), w.asks, w.asks_bias)
    return x, query * rms_factor(query, EPS)


def feed(x: Tensor, told: Tensor, modulation: Tensor, w: Weights) -> Tensor:
    """Tokens behind the caption's attention and the feed-forward part."""
    *_, shift, scale, gate = (w.table + modulation).unsqueeze(2).unbind(1)
    x = x + F.linear(told, w.told, w.told_bias)
    hidden = F.gelu(F.linear(modulated(x, scale, shift), w.up, w.up_bias), approximate="tanh")
    return (x.float() + F.linear(hidden, w.down, w.down_bias).float() * gate).to(x.dtype)


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The layer norm of x (B, N, D) under scale and shift (B, 1, D), in float32."""
    return (F.layer_norm(x.float(), x.shape[-1:], eps=EPS) * (1 + scale) + shift).to(x.dtype)


def normed(x: Tensor, weight: Tensor) -> Tensor:
    """RMS norm over all heads, float32."""
    return x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + EPS) * weight


def turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Neighbouring pairs of x (B, N, heads·d) turned by angles of (N, 1, d/2): the plain network's complex product in real
    numbers, which a compiler can fuse."""
    even, odd = x.unflatten(-1, (-1, cosine.shape[-1], 2)).unbind(-1)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-3)


def unpatched(patches: Tensor, size: tuple[int, ...], patch: tuple[int, int, int]) -> Tensor:
    """(B, f·h·w, p·C) to (B, C, F, H, W)."""
    x = patches.unflatten(1, size).unflatten(-1, (*patch, -1))
    return x.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def fused(block: Any) -> Weights:
    """The weights of a stock block, its projections in one matrix, of which they become views."""
    own, other, feeding = block.attn1, block.attn2, block.ffn.net
    parts = (own.to_q, own.to_k, own.to_v)
    matrix, bias = (torch.cat([getattr(p, name).data for p in parts]) for name in ("weight", "bias"))
    for part, rows, offset in zip(parts, matrix.chunk(3), bias.chunk(3), strict=True):
        part.weight.data, part.bias.data = rows, offset
    linear = (own.to_out[0], block.norm2, other.to_q, other.to_out[0], feeding[0].proj, feeding[2])
    rest = [t.data for part in linear for t in (part.weight, part.bias)]
    norms = (own.norm_q.weight.data.float(), own.norm_k.weight.data.float())
    return Weights(block.scale_shift_table.data[0].float(), matrix, bias, *norms, *rest)


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
