"""Matrix products by oneDNN where torch would take MKL's, which on AMD's processors reaches half of their speed (98 against
190 GFLOP/s on one core of an EPYC, in float32)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, up to rounding; without gradients faster on a CPU in float32."""
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if plain and not torch.is_grad_enabled() and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """A layer that computes by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
