"""`WanTransformer3DModel` of diffusers, unchanged: the class that carries Wan 2.1, here at any size.

Two things are added around it, not in it. Coordinates: rotary embeddings alone leave a tiny network without a sense of place,
so sinusoids of x, y and t enter as extra input channels (as the image-to-video models have extra input channels).
Preconditioning: v = a(σ)·x + b(σ)·net, with a and b from the latent's per-channel standard deviation, so that the network
always predicts a quantity of unit variance (Karras et al. 2022, for the linear path of rectified flow). Two of its parts are
exchanged, `FastAttention` for the attention processor and `Rope` for the rotary embedding: the same numbers, faster, and
through them the same weights look at all frames at once or causally.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from salt_bench import record
from salt_train.backbones.attention import Chunked, FastAttention, Recall, Rope, Sight, caption
from salt_train.backbones.base import Backbone, Causal, Output, gathered
from salt_train.backbones.ulysses import Ulysses
from salt_train.caches.base import CachePolicy, KVCache, frame_bytes
from salt_train.flow import wide


@dataclass(frozen=True)
class WanSpec:
    """Sizes of a Wan transformer; `waves` sinusoids per axis and phase enter as coordinates (0: none). `timeless` leaves those
    of time at 0: a causal network must not know where its video ends."""

    width: int = 128
    heads: int = 4
    layers: int = 4
    hidden: int = 384
    patch: tuple[int, int, int] = (1, 2, 2)
    frequencies: int = 64
    waves: int = 2
    precondition: bool = True
    timeless: bool = record.added(False)

    def __post_init__(self) -> None:
        record.at_least(self, heads=1, layers=1, hidden=1, frequencies=2, waves=0)
        if self.width < 2 or self.width % (2 * self.heads):
            raise ValueError(f"heads have an even share of the width, got {self.heads} and {self.width}")
        if min(self.patch) < 1:
            raise ValueError(f"a patch has one latent or more along each axis, got {self.patch}")

    def build(self, latent: tuple[int, int, int, int], words: int, std: Tensor) -> Backbone:
        return Wan(self, latent, words, std)

    def tokens(self, latent: tuple[int, ...]) -> int:
        """Tokens of one latent frame, for latents (C, F, H, W)."""
        return math.prod(n // p for n, p in zip(latent[2:], self.patch[1:], strict=True))

    def frame_bytes(self, latent: tuple[int, ...], size: int = 4) -> int:
        """What a cache holds of one latent frame of one video, in numbers of `size` bytes."""
        return frame_bytes(self.layers, self.tokens(latent), self.width, size)

    def takes(self, other: Any) -> bool:
        return isinstance(other, WanSpec) and replace(other, timeless=self.timeless) == self


class Wan(Backbone):
    """One network for both worlds: all frames at once, or causally, chunk by chunk against a cache or all chunks in one pass.
    How tokens see each other travels with the rotary embedding through the stock class (`Rotation.sight`)."""

    place: Tensor

    def __init__(self, spec: WanSpec, latent: tuple[int, int, int, int], words: int, std: Tensor) -> None:
        super().__init__()
        from diffusers import WanTransformer3DModel

        channels, *size = latent
        place = coordinates(tuple(size), spec.waves)
        if spec.timeless:
            place[: 2 * spec.waves] = 0  # the planes of the first axis, time
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
        net.rope = Rope(net.rope)
        blocks = {f"blocks.{i}": FastAttention(i) for i in range(spec.layers)}
        net.set_attn_processor({f"{block}.{a}.processor": p for block, p in blocks.items() for a in ("attn1", "attn2")})
        self.net = net
        self.register_buffer("place", place[None], persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1, 1).clone(), persistent=False)

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: KVCache | None = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        if causal is not None:
            return self._whole(x, sigma, cond, causal, tap)
        if cache is not None:
            return self._run(x, sigma, cond, Recall(cache, x.shape[2]), cache.seen, tap)
        if self._placed and x.shape[2] != self.place.shape[2]:
            raise ValueError(f"this backbone takes all {self.place.shape[2]} latent frames at once, got {x.shape[2]}")
        return self._run(x, sigma, cond, Sight(x.shape[2]), 0, tap)

    @property
    def _placed(self) -> bool:
        """Whether frames are told their place in the video by coordinates."""
        return self.spec.waves > 0 and not self.spec.timeless

    def begin(self, cond: Tensor, policy: CachePolicy) -> KVCache:
        with torch.no_grad(), self.computing():
            with gathered(self.net):
                tokens = self.net.condition_embedder.text_embedder(cond)
            text = tuple(self._caption(block, tokens) for block in self.net.blocks)
        return KVCache(policy, 0, (), text)

    def _caption(self, block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
        with gathered(block):
            return caption(block.attn2, tokens)

    def remember(self, x: Tensor, cond: Tensor, cache: KVCache, sigma: float = 0.0) -> KVCache:
        level = torch.full((len(x),), sigma, dtype=torch.float32, device=x.device)
        written = self._run(x, level, cond, Recall(cache, x.shape[2]), cache.seen, -1).written
        after = cache.extended(written, x.shape[2])
        frame = self.spec.frame_bytes(x.shape[1:], written[0][0].element_size()) // self.net.rope.among.ranks
        assert after.bytes == len(x) * len(after.frames) * frame
        return after

    def pieces(self) -> Sequence[nn.Module]:
        return (*self.net.blocks, self.net)

    def recompute(self) -> None:
        self.net.enable_gradient_checkpointing()

    def join(self, among: Ulysses) -> None:
        if self.spec.heads % among.ranks:
            raise ValueError(f"{among.ranks} processes share the heads of a network, and this one has {self.spec.heads}")
        net = self.net
        net.rope.among = among

        def tokens(module: Any, args: Any, out: Tensor) -> Tensor:  # (B, D, F, h, w)
            return net.rope.cut.split(out.flatten(2), 2)[..., None, None]

        def times(module: Any, args: Any, out: tuple[Any, ...]) -> tuple[Any, ...]:
            """For the blocks, time is (B, 6·D), or (B, tokens, 6·D) where every token has its own."""
            head, blocks, *texts = out
            return head, blocks if blocks.ndim == 2 else blocks[:, net.rope.cut.mine], *texts

        net.patch_embedding.register_forward_hook(tokens)
        net.condition_embedder.register_forward_hook(times)
        net.norm_out.register_forward_pre_hook(lambda _module, args: (net.rope.cut.gathered(args[0]),))

    def _whole(self, x: Tensor, sigma: Tensor, cond: Tensor, causal: Causal, tap: int) -> Output:
        """All chunks in one pass; under teacher forcing the clean video goes in front and its outputs are dropped."""
        frames = x.shape[2]
        levels = sigma if sigma.ndim == 2 else sigma[:, None].expand(-1, frames)
        sight = Chunked(causal, frames)
        if causal.clean is None:
            return self._run(x, levels, cond, sight, 0, tap)
        both = torch.cat([causal.clean, x], 2)
        levels = torch.cat([torch.full_like(levels, causal.clean_sigma), levels], 1)
        out = self._run(both, levels, cond, sight, 0, tap)
        features = None if out.features is None else out.features[:, out.features.shape[1] // 2 :]
        return Output(out.velocity[:, :, frames:], features)

    def _run(self, x: Tensor, sigma: Tensor, cond: Tensor, sight: Sight, first: int, tap: int) -> Output:
        if tap >= len(self.net.blocks):
            raise ValueError(f"a tap is one of the {len(self.net.blocks)} blocks, from 0, got {tap}")
        a, b, scale = precondition(sigma, self.std) if self.spec.precondition else (0.0, 1.0, 1.0)
        tokens: list[Tensor] = []
        hook = self.net.blocks[tap].register_forward_hook(lambda _m, _i, out: tokens.append(out)) if tap >= 0 else None
        time = sigma * 1000 if sigma.ndim == 1 else (sigma * 1000).repeat_interleave(self.spec.tokens(x.shape[1:]), 1)
        with self.net.rope.showing(sight), self.computing():
            (net,) = self.net(torch.cat([x * scale, self.places(x, first).to(x.dtype)], 1), time, cond, return_dict=False)
        if hook is not None:
            hook.remove()
        features = self.net.rope.cut.gathered(tokens[0]).to(x.dtype) if tokens else None
        return Output(a * x + b * net.to(x.dtype), features, tuple(sight.written))

    def places(self, x: Tensor, first: int) -> Tensor:
        """The coordinate channels of frames `first` … of the video, (B, 2·waves·3, F, H, W)."""
        known, frames = self.place.shape[2], x.shape[2]
        if x.shape[3:] != self.place.shape[3:]:
            raise ValueError(f"this backbone takes (H, W) of {tuple(self.place.shape[3:])}, got {tuple(x.shape[3:])}")
        if not self._placed:
            return self.place[:, :, :1].expand(len(x), -1, frames, -1, -1)
        if first + frames > known:
            raise ValueError(
                f"this backbone knows {known} latent frames by their place in time, got {first} to {first + frames - 1}; "
                "a causal network is built with timeless=True"
            )
        return self.place[:, :, first : first + frames].expand(len(x), -1, -1, -1, -1)


def precondition(sigma: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and input scale (B, C, 1, 1, 1) for x_σ with data of standard deviation `std`: a·x is the best linear guess of
    v = ε - x_0, b the standard deviation of what that guess leaves, and the scale makes the input's variance 1."""
    s = wide(sigma, std)
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
