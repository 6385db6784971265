"""A causal network without a cache: it looks at the whole history again at every step. What a cache saves is measured on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.caches.base import CachePolicy


@dataclass(frozen=True, eq=False)
class History:
    """The clean latents (B, C, F, H, W) of all frames so far (None: none yet) and the sizes of the chunks that made them."""

    policy: CachePolicy
    video: Tensor | None = None
    chunks: tuple[int, ...] = ()

    @property
    def seen(self) -> int:
        return sum(self.chunks)

    @property
    def frames(self) -> tuple[int, ...]:
        return tuple(range(self.seen))


class Recompute(Backbone):
    """`net`'s numbers, where a chunk sees through its policy what the chunks before it saw through theirs."""

    def __init__(self, net: Backbone) -> None:
        super().__init__()
        self.wan = net

    @property
    def std(self) -> Tensor:  # type: ignore[override]
        return self.wan.std

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        if cache is None or cache.video is None:
            alone = Causal((x.shape[2],), cache.policy) if cache is not None else causal
            return self.wan(x, sigma, cond, tap=tap, causal=alone)
        new = x.shape[2]
        level = torch.cat([sigma.new_zeros(len(x), cache.seen), sigma[:, None].expand(-1, new)], 1)
        whole = Causal((*cache.chunks, new), cache.policy)
        out = self.wan(torch.cat([cache.video.to(x.dtype), x], 2), level, cond, causal=whole)
        return Output(out.velocity[:, :, cache.seen :])

    def begin(self, cond: Tensor, policy: CachePolicy) -> History:
        return History(policy)

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> History:
        if sigma:
            raise ValueError(f"a history is clean: context noise {sigma} needs a cache")
        video = x if cache.video is None else torch.cat([cache.video, x], 2)
        return replace(cache, video=video, chunks=(*cache.chunks, x.shape[2]))
