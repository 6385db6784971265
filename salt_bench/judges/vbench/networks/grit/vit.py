"""The backbone: a plain vision transformer whose blocks look at windows, a few at everything (ViTDet, Li et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.linear import Linear

EPS = 1e-6
ROOM = 128 << 20
"""Bytes that the position biases of some heads may take; one head's are always whole."""


def between(table: Tensor, size: int) -> Tensor:
    """Rows of a table of relative positions for all pairs on an axis of `size`: (size, size, width); [q, k] belongs to q - k.

    A table made for another size is stretched linearly to the 2·size - 1 distances that occur.
    """
    distances = 2 * size - 1
    if len(table) != distances:
        table = F.interpolate(table.T[None], size=distances, mode="linear", align_corners=False)[0].T
    place = torch.arange(size, device=table.device)
    return table[place[:, None] - place[None] + size - 1]


class Attention(nn.Module):
    """Attention on a grid with decomposed relative positions: a table for rows and one for columns, multiplied by the query.

    `reach` is the axis length that the tables are made for: they hold 2·reach - 1 rows.
    """

    def __init__(self, width: int, heads: int, reach: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * reach - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * reach - 1, width // heads))

    def bias(self, query: Tensor, height: int, width: int) -> Tensor:
        """What positions add to the logits: (B, heads, h·w, h·w). The query is not scaled here."""
        grid = query.unflatten(2, (height, width))
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, between(self.rel_pos_h, height))
        columns = torch.einsum("bnhwc,wkc->bnhwk", grid, between(self.rel_pos_w, width))
        return (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, width)."""
        batch, height, width, _ = x.shape
        query, key, value = self.qkv(x.flatten(1, 2)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heads = max(1, ROOM // (4 * batch * (height * width) ** 2))
        parts = zip(query.split(heads, 1), key.split(heads, 1), value.split(heads, 1), strict=True)
        seen = [F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias(q, height, width)) for q, k, v in parts]
        return self.proj(torch.cat(seen, 1).transpose(1, 2).reshape(batch, height, width, -1))


class FeedForward(nn.Module):
    """The multi-layer perceptron of a block."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, inner)
        self.fc2 = Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def windows(x: Tensor, size: int) -> Tensor:
    """(B, h, w, C) as windows (B·n, size, size, C), filled with zeros on the right and at the bottom."""
    height, width, channels = x.shape[1:]
    x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    return x.transpose(2, 3).reshape(-1, size, size, channels)


def whole(x: Tensor, batch: int, height: int, width: int) -> Tensor:
    """The reverse of `windows`, without what was filled in."""
    size = x.shape[1]
    rows, columns = -(-height // size), -(-width // size)
    x = x.reshape(batch, rows, columns, size, size, -1).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)[:, :height, :width]


class Block(nn.Module):
    """A pre-norm block. `window` 0 looks at everything; zeros filled into a window are looked at like all else."""

    def __init__(self, width: int, heads: int, reach: int, window: int, inner: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads, reach)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = FeedForward(width, inner)

    def attend(self, x: Tensor) -> Tensor:
        if not self.window:
            return self.attn(x)
        return whole(self.attn(windows(x, self.window)), *x.shape[:3])

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    """Patches as tokens."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).permute(0, 2, 3, 1)


class ViT(nn.Module):
    """Frames to one map of features. `reaches` says for each block which axis length its tables are made for; a block whose
    reach is `window` looks at windows of that size, any other at everything."""

    def __init__(self, width: int, heads: int, inner: int, reaches: Sequence[int], window: int, patch: int, grid: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, grid * grid + 1, width))
        self.patch_embed = Patches(width, patch)
        self.blocks = nn.ModuleList(Block(width, heads, reach, window if reach == window else 0, inner) for reach in reaches)

    def positions(self, height: int, width: int) -> Tensor:
        """Absolute positions (1, h, w, width): the class token's entry dropped, the rest stretched bicubically."""
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        grid = self.pos_embed[:, 1:].unflatten(1, (side, side))
        if (side, side) == (height, width):
            return grid
        grid = F.interpolate(grid.permute(0, 3, 1, 2), size=(height, width), mode="bicubic", align_corners=False)
        return grid.permute(0, 2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised frames (B, 3, H, W) to (B, width, H / patch, W / patch)."""
        x = self.patch_embed(x)
        x = x + self.positions(*x.shape[1:3])
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)
