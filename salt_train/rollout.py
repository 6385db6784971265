"""The loop from noise to video, for training and for sampling, for one chunk of all frames and for many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from salt_bench import record
from salt_bench.rng import Draws
from salt_bench.types import State
from salt_train.backbones.base import Backbone, Output
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.flow import check_grid, clean, guided, move, noised

FULL = Full()


@dataclass(frozen=True)
class Chunks:
    """How a causal model makes a video: `size` latent frames at a time, each chunk against the `cache` of those before it. The
    first chunk may have another size (`first`) and its own noise levels (`first_grid`: few-step models that spend more steps on
    it). `own_exits`: in training every chunk stops at an exit of its own, else all at the same."""

    size: int = 1
    cache: CachePolicy = FULL
    first: int | None = None
    first_grid: tuple[float, ...] = ()
    own_exits: bool = False

    def __post_init__(self) -> None:
        record.at_least(self, size=1, first=1)
        if self.first_grid:
            check_grid(self.first_grid)

    def sizes(self, frames: int, begun: bool = False) -> tuple[int, ...]:
        """The chunks of `frames` latent frames, at the beginning of a video or after it has `begun`."""
        first = self.size if self.first is None or begun else self.first
        if frames < first or (frames - first) % self.size:
            raise ValueError(f"chunks fill the video: {frames} latent frames are not {first} and a multiple of {self.size}")
        return (first, *[self.size] * ((frames - first) // self.size))

    def sees(self, frames: int) -> tuple[int, ...]:
        """How many frames each chunk of a video of `frames` attends to, its own included."""
        sizes = self.sizes(frames)
        return tuple(len(self.cache.kept(at, new)) + new for at, new in zip(accumulate(sizes, initial=0), sizes, strict=False))

    def grid(self, chunk: int, grid: tuple[float, ...]) -> tuple[float, ...]:
        """The noise levels of chunk number `chunk` where the others have `grid`."""
        return self.first_grid if chunk == 0 and self.first_grid else grid

    def exits(self, draws: Draws, grid: tuple[float, ...], count: int) -> tuple[int, ...]:
        """Where each of `count` chunks stops, as indices into its grid. Without `own_exits` one draw serves all chunks; a first
        grid always has its own."""
        shared = draws("exit").choice(len(grid)) if grid else 0
        exits = [draws("exit", i).choice(len(grid)) if self.own_exits else shared for i in range(count)]
        return (draws("exit", 0).choice(len(self.first_grid)), *exits[1:]) if self.first_grid else tuple(exits)


@dataclass(frozen=True, eq=False)
class Renoise:
    """Fresh noise for the stochastic update, by name: the same (chunk, noise level) gives the same noise under every grid, so
    that rollouts of different step counts share what they can. `sources` has one per video of the batch. With `only`, there is
    fresh noise at these noise levels and at no others."""

    sources: tuple[Draws, ...]
    only: tuple[float, ...] | None = None

    def has(self, sigma: float) -> bool:
        return self.only is None or sigma in self.only

    def __call__(self, like: Tensor, chunk: int, sigma: float) -> Tensor:
        return self._named("renoise", like, chunk, sigma)

    def context(self, like: Tensor, chunk: int, sigma: float) -> Tensor:
        """The noise under which a finished chunk is remembered."""
        return self._named("context", like, chunk, sigma)

    def _named(self, name: str, like: Tensor, chunk: int, sigma: float) -> Tensor:
        draws = [d(name, chunk, round(sigma * 1e6)).normal(tuple(like.shape[1:])) for d in self.sources]
        noise = torch.stack([torch.from_numpy(d) for d in draws])
        return noise.pin_memory().to(like, non_blocking=True) if like.is_cuda and torch.cuda.is_available() else noise.to(like)


@dataclass(frozen=True, eq=False)
class Context:
    """What a state carries besides x: the caption's embedding (B, L, D), the sources of its noise, the frozen cache of what
    came before, the clean latents of the cache's frames, the number of the chunk and its first frame."""

    cond: Tensor
    renoise: Renoise | None
    cache: Any = None
    past: Tensor | None = None
    chunk: int = 0
    first: int = 0


@dataclass(frozen=True, eq=False)
class Stop:
    """Where one chunk left the grid: the state `x` at noise level `sigma`, the velocity there (with gradient where the rollout
    has one), the frozen cache that it was computed against, and the frames [first, last) that it covers."""

    x: Tensor
    sigma: float
    velocity: Tensor
    cache: Any
    frames: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Rollout:
    """`video` (B, C, F, H, W) is x̂_0 of every chunk at its exit, behind the frames that were given; `stops` has one entry per
    chunk; `nfe` counts network calls of `forward`, those that write a cache not included; `context` is what the next chunk
    starts from, if the rollout was asked to `keep` it."""

    video: Tensor
    stops: tuple[Stop, ...]
    nfe: int
    context: Context


@dataclass(frozen=True, eq=False)
class Mover:
    """A network under guidance u + w·(c - u), moving states. A state's velocity is computed once, however many moves start
    there. Under guidance the captioned and the empty history live side by side in one cache of twice the batch; a caption is
    joined with the empty one once, so that a network that knows captions again knows this one."""

    net: Backbone
    guidance: float = 1.0
    null: Callable[[Tensor], Tensor] | None = None
    known: WeakKeyDictionary[State, Output] = field(default_factory=WeakKeyDictionary)
    joined: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary)

    def velocity(self, state: State, grad: bool = False) -> Tensor:
        """v_θ(x, σ) (B, C, F, H, W) against the state's cache."""
        if state not in self.known:
            with torch.set_grad_enabled(grad):
                self.known[state] = self._output(state)
        return self.known[state].velocity

    def _output(self, state: State) -> Output:
        x = self._both(state.x)
        out = self.net(x, level(state.sigma, x), self._captions(state.context.cond), state.context.cache)
        if self.guidance == 1:
            return out
        conditional, unconditional = out.velocity.chunk(2)
        return Output(guided(conditional, unconditional, self.guidance), None, out.written)

    def _both(self, x: Tensor) -> Tensor:
        return x if self.guidance == 1 else torch.cat([x, x])

    def _captions(self, cond: Tensor) -> Tensor:
        if self.guidance == 1:
            return cond
        if self.null is None:
            raise ValueError(f"guidance {self.guidance} needs the empty caption: give `null`")
        if cond not in self.joined:
            self.joined[cond] = torch.cat([cond, self.null(cond)])
        both: Tensor = self.joined[cond]
        return both

    def begin(self, context: Context, policy: CachePolicy) -> Context:
        """The context before the first frame, with an empty cache."""
        return replace(context, cache=self.net.begin(self._captions(context.cond), policy))

    def remember(self, video: Tensor, context: Context, state: State | None = None) -> Context:
        """The context of the next chunk, after `video` (B, C, f, H, W), a finished chunk that `state` ended in (None: it was
        given). What gradient the past carries is the policy's to say."""
        policy: CachePolicy = context.cache.policy
        out = self.known[state] if state is not None else None
        alive = out is not None and out.velocity.requires_grad
        x = video if alive and policy.past == "attached" else video.detach()
        if policy.context_noise:
            assert context.renoise is not None
            x = noised(x, context.renoise.context(x, context.chunk, policy.context_noise), policy.context_noise)
        with torch.set_grad_enabled(alive and policy.past == "attached"):
            cache = self.net.remember(self._both(x), self._captions(context.cond), context.cache, policy.context_noise)
        if out is not None and alive and policy.past == "leaky":
            cache = cache.with_gradient_of(context.cache, out.written)
        after = context.first + video.shape[2]
        frames = (*context.cache.frames, *range(context.first, after))
        past = video.detach() if context.past is None else torch.cat([context.past, video.detach()], 2)
        past = past[:, :, [frames.index(f) for f in cache.frames]]
        return replace(context, cache=cache, past=past, first=after, chunk=context.chunk + (state is not None))

    def switch(self, context: Context, cond: Tensor, size: int) -> Context:
        """The context under a new caption: what the cache holds is replayed chunk by chunk at its own places; what the policy
        says `stays` does (LongLive's re-cache, with attention as causal as in generation)."""
        old = context.cache
        kept = old.policy.stays(old.frames)
        fresh = self.net.begin(self._captions(cond), old.policy)
        cache = replace(old.only(kept), text=fresh.text)
        replayed = [f for f in old.frames if f not in kept]
        for first, new in pieces(replayed, len(replayed) if old.policy.recache_whole else size):
            at = old.frames.index(first)
            x = context.past[:, :, at : at + new] if context.past is not None else torch.empty(0)
            with torch.no_grad():
                cache = self.net.remember(self._both(x), self._captions(cond), replace(cache, seen=first))
        return replace(context, cond=cond, cache=replace(cache, seen=old.seen))


def pieces(frames: Sequence[int], size: int) -> list[tuple[int, int]]:
    """Frames (ascending) as (first, count) of runs of neighbours, cut into pieces of at most `size` that are flush with the end
    of their run, as chunks are."""
    found: list[tuple[int, int]] = []
    for frame in reversed(frames):
        if found and found[-1][0] == frame + 1 and found[-1][1] < size:
            found[-1] = (frame, found[-1][1] + 1)
        else:
            found.append((frame, 1))
    return found[::-1]


def walk(
    mover: Mover,
    noise: Tensor,
    context: Context,
    grid: tuple[float, ...],
    update: str = "ode",
    *,
    chunks: Chunks | None = None,
    exits: Sequence[int] | None = None,
    grad: bool = False,
    scored: int | None = None,
    switch: tuple[int, Tensor] | None = None,
    keep: bool = False,
) -> Iterator[State]:
    """Takes `noise` (B, C, F, H, W) down the grid, chunk by chunk: yields the state at every noise level up to the chunk's exit
    and then its x̂_0, a state at σ = 0 whose context is the next chunk's. Nothing is evaluated before it is needed.

    With `grad` the evaluation at an exit has a gradient, for the chunks that reach into the last `scored` frames (None: all).
    From the first chunk on that starts at frame `switch[0]` or later, the caption is `switch[1]`. `keep`: the last chunk is
    remembered too."""
    frames = noise.shape[2]
    sizes = chunks.sizes(frames, begun=context.first > 0) if chunks else (frames,)
    if chunks and context.cache is None:
        context = mover.begin(context, chunks.cache)
    start, before = context.first, context.chunk
    for index, (first, new) in enumerate(zip(accumulate(sizes, initial=0), sizes, strict=False), start=before):
        if switch and chunks and start + first >= switch[0]:
            context, switch = mover.switch(context, switch[1], chunks.size), None
        own = chunks.grid(index, grid) if chunks else grid
        last = len(own) - 1 if exits is None else exits[index - before]
        if not 0 <= last < len(own):
            raise ValueError(f"an exit is one of the grid's {len(own)} points, 0 to {len(own) - 1}, got {last}")
        state = State(noise[:, :, first : first + new], own[0], index, context)
        for following in own[1 : last + 1]:
            yield state
            state = advance(state, mover.velocity(state), following, update)
        yield state
        inside = scored is None or first + new > frames - scored
        video = clean(state.x, mover.velocity(state, grad and inside), state.sigma)
        if chunks and (keep or first + new < frames):
            context = mover.remember(video, context, state)
        yield State(video, 0.0, index, context)


def advance(state: State, velocity: Tensor, following: float, update: str) -> State:
    """One step of the sampler to the noise level `following`: "ode" is Ψ, "sde" noises x̂_0 anew."""
    renoise = state.context.renoise
    if update not in ("ode", "sde") or (update == "sde" and renoise is None):
        raise ValueError(f'an update is "ode", or "sde" with draws for its noise, got {update!r} and {renoise}')
    if update == "sde" and following and renoise.has(following):
        x0 = clean(state.x, velocity, state.sigma)
        return replace(state, x=noised(x0, renoise(x0, state.chunk, following), following), sigma=following)
    return replace(state, x=move(state.x, velocity, state.sigma, following), sigma=following)


def rollout(
    net: Backbone,
    noise: Tensor,
    context: Context,
    grid: tuple[float, ...],
    update: str = "ode",
    *,
    chunks: Chunks | None = None,
    exits: Sequence[int] | None = None,
    grad: bool = False,
    scored: int | None = None,
    given: Tensor | None = None,
    switch: tuple[int, Tensor] | None = None,
    keep: bool = False,
) -> Rollout:
    """`walk` to its end: noise levels fall from 1 and the final 0 is implied. With `exits` every chunk stops at its index into
    the grid and gives x̂_0 from there; only that evaluation has a gradient, and only if `grad` is set (Self Forcing; Salt,
    "rollout"). `given` (B, C, f, H, W) are clean frames that the video starts with (image to video). A bidirectional model
    is a causal one with a single chunk."""
    mover = Mover(net)
    videos, stops = [], []
    if given is not None:
        if chunks is None:
            raise ValueError("frames are given to a causal model: name its chunks")
        context = mover.remember(given, mover.begin(context, chunks.cache))
        videos.append(given)
    nfe, state = 0, None
    for state in walk(
        mover, noise, context, grid, update, chunks=chunks, exits=exits, grad=grad, scored=scored, switch=switch, keep=keep
    ):
        if state.sigma:
            nfe, at = nfe + 1, state
            continue
        frames = (at.context.first, at.context.first + state.x.shape[2])
        stops.append(Stop(at.x, at.sigma, mover.velocity(at), at.context.cache, frames))
        videos.append(state.x)
    assert state is not None
    return Rollout(videos[0] if len(videos) == 1 else torch.cat(videos, 2), tuple(stops), nfe, state.context)


def level(sigma: float, like: Tensor) -> Tensor:
    """σ as (B,) float32, never in a lower precision: bf16 keeps 294 of 1000 timesteps apart."""
    return torch.full((len(like),), sigma, dtype=torch.float32, device=like.device)
