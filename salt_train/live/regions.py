"""What a Wan block does besides its two attentions, as three pure functions that a compiler can fuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from salt_train.backbones.attention import rms_factor

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
