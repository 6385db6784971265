"""`WanTransformer3DModel` of diffusers, unchanged: the class that carries Wan 2.1, here at any size.

Two things are added around it, not in it. Coordinates: rotary embeddings alone leave a tiny network without a sense of place, so
sinusoids of x, y and t enter as extra input channels (as the image-to-video models have extra input channels). Preconditioning:
v = a(σ)·x + b(σ)·net, with a and b from the latent's per-channel standard deviation, so that the network always predicts a
quantity of unit variance (Karras et al. 2022, for the linear path of rectified flow).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_train.backbones.base import Backbone, Output


@dataclass(frozen=True)
class WanSpec:
    """Sizes of a Wan transformer; `waves` sinusoids per axis and phase enter as coordinates (0: none)."""

    width: int = 128
    heads: int = 4
    layers: int = 4
    hidden: int = 384
    patch: tuple[int, int, int] = (1, 2, 2)
    frequencies: int = 64
    waves: int = 2
    precondition: bool = True

    def build(self, latent: tuple[int, int, int, int], words: int, std: Tensor) -> Backbone:
        return Wan(self, latent, words, std)


class Wan(Backbone):
    """The bidirectional network: one chunk of all frames, no cache."""

    def __init__(self, spec: WanSpec, latent: tuple[int, int, int, int], words: int, std: Tensor) -> None:
        super().__init__()
        from diffusers import WanTransformer3DModel

        channels, *size = latent
        place = coordinates(tuple(size), spec.waves)
        self.spec = spec
        self.net = WanTransformer3DModel(
            patch_size=spec.patch,
            num_attention_heads=spec.heads,
            attention_head_dim=spec.width // spec.heads,
            in_channels=channels + len(place),
            out_channels=channels,
            text_dim=words,
            freq_dim=spec.frequencies,
            ffn_dim=spec.hidden,
            num_layers=spec.layers,
            rope_max_seq_len=1024,
        )
        self.net.set_attn_processor(FastAttention())
        self.register_buffer("place", place[None], persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1, 1).clone(), persistent=False)

    place: Tensor
    std: Tensor

    def forward(self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1) -> Output:
        if cache is not None:
            raise ValueError("this backbone is bidirectional and reads no cache: give it one chunk of all frames")
        if x.shape[2:] != self.place.shape[2:]:
            raise ValueError(f"this backbone takes (F, H, W) of {tuple(self.place.shape[2:])}, got {tuple(x.shape[2:])}")
        a, b, scale = precondition(sigma, self.std) if self.spec.precondition else (0.0, 1.0, 1.0)
        place = self.place.expand(len(x), -1, -1, -1, -1)
        tokens: list[Tensor] = []
        hook = self.net.blocks[tap].register_forward_hook(lambda _m, _i, out: tokens.append(out)) if tap >= 0 else None
        (net,) = self.net(torch.cat([x * scale, place], 1), sigma * 1000, cond, return_dict=False)
        if hook is not None:
            hook.remove()
        return Output(a * x + b * net, tokens[0] if tokens else None)

    def remember(self, x: Tensor, cond: Tensor, cache: Any) -> Any:
        raise ValueError("this backbone is bidirectional and keeps no cache: roll it out in one chunk of all frames")


def precondition(sigma: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and input scale (B, C, 1, 1, 1) for x_σ with data of standard deviation `std`: a·x is the best linear guess of
    v = ε - x_0, b the standard deviation of what that guess leaves, and the scale makes the input's variance 1."""
    s = sigma.view(-1, 1, 1, 1, 1).to(std.dtype)
    total = (1 - s) ** 2 * std**2 + s**2
    return (s - (1 - s) * std**2) / total, std / total.sqrt(), total.rsqrt()


def coordinates(size: tuple[int, ...], waves: int) -> Tensor:
    """(2·waves·axes, *size): sine and cosine of each axis at 1 … `waves` half turns over its length."""
    planes = []
    for axis, length in enumerate(size):
        at = (torch.arange(length, dtype=torch.float32) + 0.5) / length * math.pi
        shape = [1] * len(size)
        shape[axis] = length
        for wave in range(1, waves + 1):
            planes += [f(wave * at).view(shape).expand(size) for f in (torch.sin, torch.cos)]
    return torch.stack(planes) if planes else torch.zeros(0, *size)


class FastAttention:
    """The attention of the stock processor with its rotation written as one complex product: same numbers, fewer passes."""

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key = attn.norm_k(attn.to_k(source)).unflatten(2, (attn.heads, -1))
        value = attn.to_v(source).unflatten(2, (attn.heads, -1))
        if rotary_emb is not None:
            turn = turns(rotary_emb)
            query, key = rotate(query, turn), rotate(key, turn)
        out = F.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=attention_mask
        )
        return attn.to_out[0](out.transpose(1, 2).flatten(2))


def turns(rotary: tuple[Tensor, Tensor]) -> Tensor:
    """diffusers' pair of interleaved cosines and sines (1, tokens, 1, D) as complex numbers (1, tokens, 1, D/2)."""
    cosine, sine = rotary
    return torch.complex(cosine[..., 0::2].float(), sine[..., 1::2].float())


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotates neighbouring pairs of the last dimension."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)
