"""How the tokens of a Wan transformer see each other: what replaces the stock attention processor and rotary embedding.

A `Sight` travels through the stock class inside the rotary embedding, which that class hands to every block untouched; so one
set of weights looks at all frames at once (`Sight`), at a cache and its own chunk (`Recall`), or at all chunks of a video in a
single causal pass (`Chunked`). Activation checkpointing repeats a block with the same rotary embedding, hence the same sight.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_train.backbones.base import Causal
from salt_train.backbones.ulysses import SINGLE, Cut, Ulysses
from salt_train.caches.base import KVCache, picked

Pair = tuple[Tensor, Tensor]


class Sight:
    """Every token sees every token. `places` are the frames' positions in time; `written` collects each block's keys and
    values of the tokens at hand, `text` holds those of the caption where they are known."""

    moving = False
    text: tuple[Pair, ...] = ()
    frozen_text = False

    def __init__(self, frames: int) -> None:
        self.places: tuple[int, ...] = tuple(range(frames))
        self.written: list[Pair] = []
        self.time: Tensor | None = None

    def enter(self, rope: Rope, like: Tensor, tokens: int) -> None:
        """Called once per pass, before the first block; a frame has `tokens` tokens."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        return attend(query, key, value, heads)


class Recall(Sight):
    """A chunk of `frames` new frames sees what its cache keeps, and itself."""

    def __init__(self, cache: KVCache, frames: int) -> None:
        self.cache = cache.only(cache.policy.kept(cache.seen, frames))
        self.moving, self.text, self.written, self.time = cache.policy.moving, cache.text, [], None
        self.frozen_text = cache.policy.frozen_text
        self.past, self.places = cache.policy.places(self.cache.frames, cache.seen, frames)

    def enter(self, rope: Rope, like: Tensor, tokens: int) -> None:
        self.time = rope.moves((*self.past, *self.places), tokens, like) if self.moving else None

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        if layer == len(self.written):  # a repetition by activation checkpointing writes nothing
            self.written.append((key, value))
        keys, values = self.cache.read(layer, key, value)
        return attend(query, keys if self.time is None else rotated(keys, self.time), values, heads)


class Chunked(Sight):
    """All chunks of a video in one pass, block-causal: each sees itself and what the policy keeps of those before it. Under
    teacher forcing the tokens are [clean | noisy], and both halves see the clean past only."""

    def __init__(self, causal: Causal, frames: int) -> None:
        if sum(causal.chunks) != frames:
            raise ValueError(f"chunks fill the video: {causal.chunks} are {sum(causal.chunks)} frames, the video has {frames}")
        self.frames, self.halves = frames, 1 if causal.clean is None else 2
        self.moving, self.written, self.time = causal.policy.moving, [], None
        self.chunks = [(first, new, causal.policy.kept(first, new)) for first, new in causal.spans]
        both = [causal.policy.places(kept, first, new) for first, new, kept in self.chunks]
        self.all_places = [(*past, *own) for past, own in both]
        self.places = tuple(p for _, own in both for p in own) * self.halves
        self.turns: list[Tensor | None] = []

    def enter(self, rope: Rope, like: Tensor, tokens: int) -> None:
        self.turns = [rope.moves(places, tokens, like) if self.moving else None for places in self.all_places]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        out = [self._chunk(half, i, query, key, value, heads) for half in range(self.halves) for i in range(len(self.chunks))]
        return torch.cat(out, 1)

    def _chunk(self, half: int, i: int, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        first, new, kept = self.chunks[i]
        own = range(half * self.frames + first, half * self.frames + first + new)
        total, turn = self.frames * self.halves, self.turns[i]
        seen = [torch.cat([picked(t, kept, total), picked(t, own, total)], 1) for t in (key, value)]
        return attend(picked(query, own, total), seen[0] if turn is None else rotated(seen[0], turn), seen[1], heads)


class Rotation(tuple[Tensor, Tensor]):
    """What diffusers hands to its processors, interleaved cosines and sines (1, tokens, 1, D), and what ours use: `turn`, the
    same as complex numbers (1, n, 1, D/2) for the n tokens that are here, `key_turn`, which lacks time where places move, the
    `sight`, and the `cut` of the pass's tokens among processes."""

    turn: Tensor
    key_turn: Tensor
    sight: Sight
    cut: Cut


class Rope(nn.Module):
    """The stock rotary embedding at any position, without its table of 1024: angles in float64, rotations in the dtype of the
    latents, kept once made."""

    KEPT = 256

    def __init__(self, stock: Any, theta: float = 10000.0) -> None:
        super().__init__()
        self.dims, self.patch, self.theta = (stock.t_dim, stock.h_dim, stock.w_dim), tuple(stock.patch_size), theta
        self.made: dict[tuple[Any, ...], tuple[Tensor, ...]] = {}
        self.sight: Sight | None = None
        self.among: Ulysses = SINGLE
        self.cut = SINGLE.cut(0)  # of the pass at hand

    @contextmanager
    def showing(self, sight: Sight) -> Iterator[None]:
        """Inside, the network looks at its tokens through `sight`."""
        self.sight = sight
        try:
            yield
        finally:
            self.sight = None

    def forward(self, x: Tensor) -> Rotation:
        frames, height, width = (n // p for n, p in zip(x.shape[2:], self.patch, strict=True))
        sight = self.sight or Sight(frames)
        turn, *stock = self._kept(sight.places, (height, width), x)
        key_turn = self._kept((0,) * len(sight.places), (height, width), x)[0] if sight.moving else turn
        self.cut = self.among.cut(turn.shape[1])
        rotation = Rotation(stock)
        rotation.sight, rotation.cut = sight, self.cut
        rotation.turn, rotation.key_turn = turn[:, self.cut.mine], key_turn[:, self.cut.mine]
        sight.enter(self, x, height * width)
        return rotation

    def moves(self, places: tuple[int, ...], tokens: int, like: Tensor) -> Tensor:
        """The turn in time alone of frames at `places`, (1, len(places)·tokens, 1, D/2)."""
        return self._kept(places, (1, tokens), like, still=True)[0]

    def waves(self, places: tuple[int, ...], size: tuple[int, int], like: Tensor, still: bool = False) -> Pair:
        """Cosines and sines (frames·h·w, 1, D/2) of frames at `places`, of `size` tokens each; with `still`, of time alone."""
        turn = self._kept(places, size, like, still)[0][0]
        return turn.real, turn.imag

    def _kept(self, places: tuple[int, ...], size: tuple[int, int], like: Tensor, still: bool = False) -> tuple[Tensor, ...]:
        key = (places, size, still, like.dtype, like.device)
        if key not in self.made:
            if len(self.made) >= self.KEPT:
                self.made.clear()
            with torch.inference_mode(False):  # what is kept may be needed for a gradient later
                self.made[key] = self._make(places, size, like, still)
        return self.made[key]

    def _make(self, places: tuple[int, ...], size: tuple[int, int], like: Tensor, still: bool) -> tuple[Tensor, ...]:
        """The rotation as complex numbers, and its interleaved cosines and sines."""
        sides = [torch.zeros(n) if still else torch.arange(n) for n in size]
        shape = (len(places), *size)
        axes = zip((torch.tensor(places), *sides), self.dims, strict=True)
        parts = [
            _angles(at, dim, self.theta).view(*_line(axis, len(at)), -1).expand(*shape, -1)
            for axis, (at, dim) in enumerate(axes)
        ]
        angle = torch.cat(parts, -1).reshape(1, -1, 1, sum(self.dims) // 2)
        real = torch.float64 if like.dtype == torch.float64 else torch.float32
        cosine, sine = (f(angle).to(like.device, real) for f in (torch.cos, torch.sin))
        return torch.complex(cosine, sine), cosine.repeat_interleave(2, -1), sine.repeat_interleave(2, -1)


def _line(axis: int, length: int) -> list[int]:
    return [length if a == axis else 1 for a in range(3)]


def _angles(at: Tensor, dim: int, theta: float) -> Tensor:
    """(len(at), dim/2) angles in float64."""
    return torch.outer(at.double(), 1 / theta ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim))


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

    def __init__(self, layer: int = 0) -> None:
        self.layer = layer
        self.rotation: Rotation | None = None  # from a block's self-attention to the cross-attention right behind it

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Rotation | None = None,
    ) -> Tensor:
        a: Any = attn  # nn.Module hides the types of its parts
        if rotary_emb is not None:
            self.rotation, cut = rotary_emb, rotary_emb.cut
            query = turned(a.to_q(hidden_states), a.norm_q, rotary_emb.turn)
            key = turned(a.to_k(hidden_states), a.norm_k, rotary_emb.key_turn)
            query, key, value = cut.heads(query, key, a.to_v(hidden_states))
            out = cut.back(rotary_emb.sight(self.layer, query, key, value, a.heads // cut.among.ranks))
        else:
            rotation, self.rotation = self.rotation, None
            sight = rotation.sight if rotation is not None else None
            known = sight.text if sight is not None and (sight.frozen_text or not torch.is_grad_enabled()) else ()
            query = a.to_q(hidden_states)
            query = query * rms_factor(query, a.norm_q.eps)
            source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            key, value = known[self.layer] if known else caption(attn, source)
            out = attend(query, key, value, a.heads)
        return a.to_out[0](out)


def caption(attn: nn.Module, tokens: Tensor) -> Pair:
    """Keys and values (B, L, D) of a caption's tokens (B, L, D); nothing rotates, so the weights of both norms join the few
    keys."""
    a: Any = attn
    key = a.to_k(tokens)
    return key * (a.norm_q.weight * a.norm_k.weight) * rms_factor(key, a.norm_k.eps), a.to_v(tokens)


def turned(x: Tensor, norm: nn.RMSNorm, turn: Tensor) -> Tensor:
    """RMS norm over all heads of x (B, tokens, heads·D), then neighbouring pairs rotated by `turn` (1, tokens, 1, D/2)."""
    pairs = torch.view_as_complex((x * norm.weight).to(turn.real.dtype).unflatten(-1, (-1, turn.shape[-1], 2)))
    return torch.view_as_real(pairs * (turn * rms_factor(x, norm.eps or 0.0)[..., None])).flatten(-3).to(x.dtype)


def rms_factor(x: Tensor, eps: float) -> Tensor:
    """1/√(mean x² + eps) over the last dimension, which is kept."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.rsqrt(norm * norm / x.shape[-1] + eps)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Softmax attention of (B, N, D) queries over (B, M, D) keys and values."""
    split = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Neighbouring pairs of x (B, tokens, heads·D) rotated by `turn` (1, tokens, 1, D/2)."""
    pairs = torch.view_as_complex(x.to(turn.real.dtype).unflatten(-1, (-1, turn.shape[-1], 2)))
    return torch.view_as_real(pairs * turn).flatten(-3).to(x.dtype)
