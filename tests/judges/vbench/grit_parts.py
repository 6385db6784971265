"""Random numbers for the tests of GRiT's parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """All parameters random, so that no zero hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        nn.init.normal_(value, std=0.3, generator=generator)
    return module.eval().requires_grad_(False)


def noise(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))
