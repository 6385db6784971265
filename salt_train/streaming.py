"""Long tuning: one video that goes on from update to update (LongLive), as a state that is passed, saved and resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone
from salt_train.caches.base import CachePolicy, KVCache, Piece
from salt_train.objectives.base import Carried, Step
from salt_train.recipe import Stream
from salt_train.rollout import Context


@dataclass(frozen=True, eq=False)
class LongVideo:
    """Video number `number` of a run, and where it stands (None: not begun)."""

    number: int = 0
    carried: Carried | None = None

    @property
    def position(self) -> int:
        """Latent frames that are finished."""
        return self.carried.context.first if self.carried else 0

    def after(self, step: Step, stream: Stream, window: int) -> LongVideo:
        """The video after the update `step`; a new one where this has become long enough."""
        done = step.rollout
        if done.context.first >= stream.longest:
            return LongVideo(self.number + 1)
        video = done.video.detach() if self.carried is None else torch.cat([self.carried.tail, done.video.detach()], 2)
        context = replace(done.context, cache=done.context.cache.detached())
        return replace(self, carried=Carried(context, video[:, :, video.shape[2] - (window - stream.new) :]))

    def refreshed(self, net: Backbone, cond: torch.Tensor) -> Carried | None:
        """What is carried, under the caption `cond` as the present weights read it; the frames' keys and values stay those of
        the weights that wrote them, as at inference they stay those of the frames that were seen."""
        if self.carried is None:
            return None
        cache = self.carried.context.cache
        text = net.begin(cond, cache.policy).text
        return replace(self.carried, context=replace(self.carried.context, cond=cond, cache=replace(cache, text=text)))

    def state(self) -> dict[str, Any]:
        """Plain tensors and numbers for a resume file."""
        if self.carried is None:
            return {"number": self.number}
        context, tail = self.carried.context, self.carried.tail
        cache = context.cache
        kept = {"seen": cache.seen, "frames": list(cache.frames), "keys": list(cache.keys), "values": list(cache.values)}
        return {
            "number": self.number,
            "past": context.past,
            "chunk": context.chunk,
            "first": context.first,
            "tail": tail,
            **kept,
        }

    @staticmethod
    def load(state: dict[str, Any], policy: CachePolicy) -> LongVideo:
        """The inverse of `state`."""
        if "tail" not in state:
            return LongVideo(state["number"])
        piece = Piece(tuple(state["frames"]), tuple(state["keys"]), tuple(state["values"]))
        cache = KVCache(policy, state["seen"], (piece,), ())
        context = Context(torch.empty(0), None, cache, state["past"], state["chunk"], state["first"])
        return LongVideo(state["number"], Carried(context, state["tail"]))


def joined(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The state of a whole batch from those of its parts, in order."""
    return mapped(lambda *parts: torch.cat(parts), *states) if len(states) > 1 else states[0]


def mapped(f: Callable[..., Tensor], *states: dict[str, Any]) -> dict[str, Any]:
    """A state whose tensors, which all have the batch first, are `f` of the tensors of `states`."""

    def one(*values: Any) -> Any:
        if isinstance(values[0], Tensor):
            return f(*values)
        return [one(*v) for v in zip(*values, strict=True)] if isinstance(values[0], list) else values[0]

    return {name: one(*(state[name] for state in states)) for name in states[0]}


def switch_at(stream: Stream, window: int, draws: Draws) -> int | None:
    """The frame at which a video changes its caption: at the beginning of one of its updates after the first, or never."""
    starts = range(window, stream.longest, stream.new)
    if draws("switches").uniform() >= stream.switches or not starts:
        return None
    return starts[draws("switch").choice(len(starts))]
