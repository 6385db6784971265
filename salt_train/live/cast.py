"""A network in another dtype: float32 comes in and goes out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.backbones.wan import Wan
from salt_train.caches.base import CachePolicy
from salt_train.live.swift import cast


class Cast(Backbone):
    """`net` with its weights in `dtype`, but for those that its class keeps in float32."""

    def __init__(self, net: Wan, dtype: torch.dtype) -> None:
        super().__init__()
        cast(net.net, dtype)
        self.wan, self.dtype = net, dtype

    @property
    def std(self) -> Tensor:  # type: ignore[override]
        return self.wan.std

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        out = self.wan(x.to(self.dtype), sigma, cond.to(self.dtype), cache, tap, causal)
        return out._replace(velocity=out.velocity.to(x.dtype))

    def begin(self, cond: Tensor, policy: CachePolicy) -> Any:
        return self.wan.begin(cond.to(self.dtype), policy)

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> Any:
        return self.wan.remember(x.to(self.dtype), cond.to(self.dtype), cache, sigma)
