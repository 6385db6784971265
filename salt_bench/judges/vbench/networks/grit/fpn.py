"""The simple feature pyramid of ViTDet (Li et al. 2022): one map becomes five, with strides 8 to 128."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.grit.vit import ViT

STRIDES = (8, 16, 32, 64, 128)
EPS = 1e-6


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a map (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        normal = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, EPS)
        return normal.permute(0, 3, 1, 2)


class Coarse(nn.Module):
    """The two coarsest maps, by convolutions that stride."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.p6 = nn.Conv2d(channels, channels, 3, 2, 1)
        self.p7 = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, p5: Tensor) -> tuple[Tensor, Tensor]:
        p6 = self.p6(p5)
        return p6, self.p7(F.relu(p6))


class Pyramid(nn.Module):
    """The backbone and its pyramid: frames (B, 3, H, W), sides multiples of 32, to five maps of `channels`.

    Flat names, for the sake of the released file; no bias but in p6 and p7. Each stride has a 1x1 and a 3x3 convolution with a
    norm behind either.
    """

    def __init__(self, bottom_up: ViT, width: int, channels: int) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self.fpn_stride_16_8 = nn.ConvTranspose2d(width, width, 2, 2, bias=False)
        for stride in STRIDES[:3]:
            self.add_module(f"fpn_stride{stride}_conv1", nn.Conv2d(width, channels, 1, bias=False))
            self.add_module(f"fpn_stride{stride}_norm1", ChannelNorm(channels))
            self.add_module(f"fpn_stride{stride}_conv2", nn.Conv2d(channels, channels, 3, padding=1, bias=False))
            self.add_module(f"fpn_stride{stride}_norm2", ChannelNorm(channels))
        self.top_block = Coarse(channels)

    def smooth(self, x: Tensor, stride: int) -> Tensor:
        for part in ("conv1", "norm1", "conv2", "norm2"):
            x = self.get_submodule(f"fpn_stride{stride}_{part}")(x)
        return x

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.bottom_up(x)
        p3, p4 = self.smooth(self.fpn_stride_16_8(x), 8), self.smooth(x, 16)
        p5 = self.smooth(F.max_pool2d(x, 2), 32)
        return p3, p4, p5, *self.top_block(p5)
