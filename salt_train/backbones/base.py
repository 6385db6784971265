"""What a network is to the trainer: a velocity field with an optional memory of what came before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    """`velocity` has the shape of x; `features` are the tokens (B, tokens, D) after block `tap`, or None if none was asked."""

    velocity: Tensor
    features: Tensor | None


class Backbone(ABC, nn.Module):
    """v_θ(x, σ, cond, cache). Reading never changes a cache; only `remember` makes a new one."""

    std: Tensor
    """Standard deviation of each channel of the latents, (1, C, 1, 1, 1)."""

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1) -> Output:
        """x (B, C, F, H, W), sigma (B,) in [0, 1], cond (B, L, D) → velocity like x."""

    @abstractmethod
    def remember(self, x: Tensor, cond: Tensor, cache: Any) -> Any:
        """A new cache that holds the clean chunk `x` too."""


class BackboneSpec(Protocol):
    """A network as data: what a recipe names."""

    def build(self, latent: tuple[int, int, int, int], words: int, std: Tensor) -> Backbone:
        """The network for latents (C, F, H, W) with per-channel standard deviation `std` (C,) and `words` condition features;
        weights come from torch's own random state, which the caller seeds."""


def frozen(net: Backbone) -> Backbone:
    """The same network without gradients, in evaluation mode."""
    return net.requires_grad_(False).eval()


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    with torch.no_grad():
        target.load_state_dict(source.state_dict())
