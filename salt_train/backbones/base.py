"""What a network is to the trainer: a velocity field with an optional memory of what came before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from salt_train.backbones.ulysses import Ulysses
from salt_train.caches.base import CachePolicy


class Output(NamedTuple):
    """`velocity` has the shape of x; `features` are the tokens (B, tokens, D) after block `tap`, or None if none was asked.
    `written` are the keys and values of the tokens at hand, one pair per block, where a cache was read."""

    velocity: Tensor
    features: Tensor | None = None
    written: tuple[tuple[Tensor, Tensor], ...] = ()


@dataclass(frozen=True, eq=False)
class Causal:
    """All chunks of a video in one pass: `chunks` are their sizes in frames, in order, and each attends to itself and to what
    `policy` keeps of those before it. With `clean` (B, C, F, H, W), the true video, the past is clean, at `clean_sigma`
    (teacher forcing); without it the past is as noisy as it comes (diffusion forcing)."""

    chunks: tuple[int, ...]
    policy: CachePolicy
    clean: Tensor | None = None
    clean_sigma: float = 0.0

    @property
    def spans(self) -> list[tuple[int, int]]:
        """(first frame, number of frames) of every chunk."""
        return list(zip([0, *accumulate(self.chunks)], self.chunks, strict=False))


class Backbone(ABC, nn.Module):
    """v_θ(x, σ, cond, cache). Reading never changes a cache; only `remember` makes a new one."""

    std: Tensor
    """Standard deviation of each channel of the latents, (1, C, 1, 1, 1)."""
    compute: torch.dtype | None = None
    """The dtype of matrix products (None: that of the weights). Norms, softmax and noise levels stay float32."""

    def computing(self) -> AbstractContextManager[Any]:
        """Inside, matrix products are made in `compute`. Nothing rounded is kept beyond it."""
        return torch.autocast(self.std.device.type, self.compute) if self.compute else nullcontext()

    def pieces(self) -> Sequence[nn.Module]:
        """The modules by which the parameters can be spread over processes, the one that holds all others last."""
        return (self,)

    def recompute(self) -> None:
        """From now on a backward pass computes the inside of every block again, instead of keeping it."""
        raise ValueError(f"{type(self).__name__} has no blocks that can be computed again; train it without checkpointing")

    def join(self, among: Ulysses) -> None:
        """From now on every pass is made by all processes of `among` together; each calls with the same numbers and gets the
        same. A cache then holds this process's heads alone."""
        raise ValueError(f"{type(self).__name__} has no heads that processes can share; train it without --sequence")

    @abstractmethod
    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        """x (B, C, F, H, W), sigma (B,) or per frame (B, F) in [0, 1], cond (B, L, D) → velocity like x.

        With `cache`, x is the chunk that follows what the cache has seen; with `causal`, x is the whole video; with neither,
        every frame sees every other."""

    @abstractmethod
    def begin(self, cond: Tensor, policy: CachePolicy) -> Any:
        """An empty cache for videos of `cond`; what depends on the caption alone is computed here, once."""

    @abstractmethod
    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> Any:
        """A new cache that holds the finished chunk `x` (at noise level `sigma`) too, as far as its policy keeps it."""


@runtime_checkable
class Spread(Protocol):
    """A module whose parameters are spread over processes (FSDP2)."""

    def unshard(self) -> Any: ...
    def reshard(self) -> None: ...


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Inside, the parameters of `module` itself are all here, for what is not a call of it."""
    if not isinstance(module, Spread):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def frozen(net: Backbone) -> Backbone:
    """The same network without gradients, in evaluation mode."""
    return net.requires_grad_(False).eval()
