"""`WanTransformer3DModel` of diffusers, unchanged: the class that carries Wan 2.1, here at any size.

Two things are added around it, not in it. Coordinates: rotary embeddings alone leave a tiny network without a sense of place,
so sinusoids of x, y and t enter as extra input channels (as the image-to-video models have extra input channels).
Preconditioning: v = a(σ)·x + b(σ)·net, with a and b from the latent's per-channel standard deviation, so that the network
always predicts a quantity of unit variance (Karras et al. 2022, for the linear path of rectified flow). Two of its parts are
exchanged for faster ones with the same numbers: `FastAttention` and `FixedRope`.
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
        net: Any = WanTransformer3DModel(
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
        net.rope = FixedRope(net.rope(torch.empty(1, *latent)))
        net.set_attn_processor(FastAttention())
        self.net = net
        self.register_buffer("place", place[None], persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1, 1).clone(), persistent=False)

    place: Tensor

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


class Rotation(tuple[Tensor, Tensor]):
    """What diffusers hands to its processors, interleaved cosines and sines (1, tokens, 1, D), and `turn`, the same as complex
    numbers (1, tokens, 1, D/2)."""

    turn: Tensor


class FixedRope(nn.Module):
    """The stock rotary embedding of one latent size, made once instead of at every call."""

    cosine: Tensor
    sine: Tensor
    turn: Tensor

    def __init__(self, rotary: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        cosine, sine = rotary
        turn = torch.complex(cosine[..., 0::2].float(), sine[..., 1::2].float())
        for name, value in (("cosine", cosine), ("sine", sine), ("turn", turn)):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Rotation:
        rotation = Rotation((self.cosine, self.sine))
        rotation.turn = self.turn
        return rotation


class FastAttention:
    """The attention of the stock processor in fewer passes over memory: the same numbers to float32 rounding (1e-6).

    torch has no fused RMS norm on the CPU, so the norm's per-token factor joins the rotation, which is one complex product;
    where nothing rotates, the weights of both norms join the few keys. Share of a DMD-8 iteration on one AVX-512 core (batch 8,
    core-seconds, variants taken in turn; single rows are good to about one point):

        norms as above, rotation made once       -3%   kept (80 pairs, quartiles -1.4 and -4.8); most of it the norms
        patches by one matrix product           -0.5%  the stock convolution stays
        GELU from MKL's tanh                    -1.5%  not worth a gradient of its own
        query, key and value in one product       0%   slices are slower to norm
        query and key normed and turned as one   +2%
        products and softmax written out         +2%   54 tokens; torch's flash kernel stays
        5 text keys as one block matrix         +1.5%  a softmax over 5 numbers is slow
        malloc that never trims                  -2%   page faults; the caller's environment, not ours
    """

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Rotation | None = None,
    ) -> Tensor:
        a: Any = attn  # nn.Module hides the types of its parts
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = a.to_q(hidden_states), a.to_k(source), a.to_v(source)
        if rotary_emb is None:
            key = key * (a.norm_q.weight * a.norm_k.weight) * rms_factor(key, a.norm_k.eps)
            query = query * rms_factor(query, a.norm_q.eps)
        else:
            query, key = turned(query, a.norm_q, rotary_emb.turn), turned(key, a.norm_k, rotary_emb.turn)
        query, key, value = (x.unflatten(2, (a.heads, -1)).transpose(1, 2) for x in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        return a.to_out[0](out.transpose(1, 2).flatten(2))


def turned(x: Tensor, norm: nn.RMSNorm, turn: Tensor) -> Tensor:
    """RMS norm over all heads of x (B, tokens, heads·D), then neighbouring pairs rotated by `turn` (1, tokens, 1, D/2)."""
    pairs = torch.view_as_complex((x * norm.weight).float().unflatten(-1, (-1, turn.shape[-1], 2)))
    return torch.view_as_real(pairs * (turn * rms_factor(x, norm.eps or 0.0)[..., None])).flatten(-3).to(x.dtype)


def rms_factor(x: Tensor, eps: float) -> Tensor:
    """1/√(mean x² + eps) over the last dimension, which is kept."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.rsqrt(norm * norm / x.shape[-1] + eps)
