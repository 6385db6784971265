"""Swin (Liu et al. 2021, arXiv 2103.14030): a transformer that looks at windows, which every other block shifts by half."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.linear import Linear

PATCH = 4


def distances(window: int) -> Tensor:
    """Which row of the table of (2w - 1)² relative positions belongs to each pair of a window: (w², w²)."""
    place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"), -1).flatten(0, 1)
    rows, columns = (place[:, None] - place[None] + window - 1).unbind(-1)
    return rows * (2 * window - 1) + columns


def windows(x: Tensor, size: int) -> Tensor:
    """(B, h, w, C) as windows (B·n, size², C)."""
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size)).transpose(2, 3)
    return x.flatten(0, 2).flatten(1, 2)


def whole(x: Tensor, height: int, width: int) -> Tensor:
    """The reverse of `windows`."""
    size = round(x.shape[1] ** 0.5)
    x = x.unflatten(1, (size, size)).unflatten(0, (-1, height // size, width // size)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


def neighbours(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Which pairs of a shifted window lay near each other before the shift brought in the far side: (windows, w², w²)."""
    bands = [slice(0, -window), slice(-window, -shift), slice(-shift, None)]
    region = torch.zeros(1, height, width, 1, device=device)
    for number, (rows, columns) in enumerate((rows, columns) for rows in bands for columns in bands):
        region[:, rows, columns] = number
    parts = windows(region, window)
    return parts == parts.transpose(1, 2)


class Attention(nn.Module):
    """Attention inside of windows, with a learned bias for every relative position."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def bias(self) -> Tensor:
        """(heads, w², w²)."""
        table = self.relative_position_bias_table
        return table[distances(self.window).to(table.device)].permute(2, 0, 1)

    def forward(self, x: Tensor, together: Tensor | None) -> Tensor:
        """Windows (B·n, w², width); `together` (n, w², w²) says which pairs may look at each other."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias()
        if together is not None:
            bias = torch.where(together[:, None], bias, -torch.inf).repeat(len(x) // len(together), 1, 1, 1)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(seen.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """The multi-layer perceptron of a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, 4 * width)
        self.fc2 = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm block. It shifts only where there is more than one window."""

    def __init__(self, width: int, heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.window, self.shifted = window, shifted
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width)

    def attend(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        if not self.shifted or min(height, width) <= self.window:
            return whole(self.attn(windows(x, self.window), None), height, width)
        shift = self.window // 2
        together = neighbours(height, width, self.window, shift, x.device)
        parts = windows(x.roll((-shift, -shift), (1, 2)), self.window)
        return whole(self.attn(parts, together), height, width).roll((shift, shift), (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, width)."""
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    """Four neighbours become one, twice as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


class Stage(nn.Module):
    """Blocks of one width, and the merge behind them, which the last stage lacks."""

    def __init__(self, width: int, heads: int, window: int, depth: int, last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, window, shifted=bool(number % 2)) for number in range(depth))
        self.downsample = None if last else Merge(width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Patches(nn.Module):
    """Patches as tokens (B, h, w, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class Swin(nn.Module):
    """Normalised pictures (B, 3, H, W) to tokens (B, n, width of the last stage), their mean in front."""

    def __init__(self, width: int, depths: Sequence[int], heads: Sequence[int], window: int) -> None:
        super().__init__()
        self.patch_embed = Patches(width)
        last = len(depths) - 1
        self.layers = nn.ModuleList(
            Stage(width << n, heads[n], window, depth, last=n == last) for n, depth in enumerate(depths)
        )
        self.norm = nn.LayerNorm(width << last)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        x = self.norm(x).flatten(1, 2)
        return torch.cat([x.mean(1, keepdim=True), x], 1)


def stretched(table: Tensor, window: int) -> Tensor:
    """A table of relative positions, made for another window, for this one: bicubic, as on loading officially."""
    side, wanted = round(len(table) ** 0.5), 2 * window - 1
    if side == wanted:
        return table
    grid = table.T.unflatten(1, (side, side))[None]
    return F.interpolate(grid, size=(wanted, wanted), mode="bicubic", align_corners=False)[0].flatten(1).T
