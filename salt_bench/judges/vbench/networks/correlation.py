"""How well every place of one frame matches every place of another, in both directions, and what a flow points at in that."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 64 << 20
"""Bytes of matches that are averaged and looked into at once."""


class Correlation:
    """Of features (B, C, H, W) of two frames: all products, scaled by 1 / sqrt(C), and their averages over 2 x 2, 4 x 4 …
    places of the frame that is looked into.

    The products are kept once, for both directions; the averages are made where they are looked up, for some places at a time:
    kept whole, both directions of a 720p frame would take 2.2 GB."""

    def __init__(self, before: Tensor, after: Tensor, levels: int, radius: int) -> None:
        channels = before.shape[1]
        self._matches = before.flatten(2).transpose(1, 2) @ after.flatten(2)  # (B, places before, places after)
        self._matches /= channels**0.5
        self._size, self._radius, self._levels = (before.shape[-2], before.shape[-1]), radius, levels

    def __call__(self, to_before: Tensor, to_after: Tensor) -> Tensor:
        """Matches around where flows (B, 2, H, W) point from each place, (B, 2 * levels * (2 * radius + 1)^2, H, W): first
        those of the frame before in the frame after."""
        into_after = self._around(self._matches, to_after)
        return torch.cat([into_after, self._around(self._matches.transpose(1, 2), to_before)], 1)

    def _around(self, matches: Tensor, flow: Tensor) -> Tensor:
        """`matches` (B, places looked from, places looked into)."""
        batch, _, height, width = flow.shape
        rows, columns = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (height, width))
        x, y = (columns + flow[:, 0]).flatten(1), (rows[:, None] + flow[:, 1]).flatten(1)
        step = max(1, CHUNK // (4 * height * width))
        found = [
            self._levelled(*(part[one, start : start + step] for part in (matches, x, y)))
            for one in range(batch)
            for start in range(0, height * width, step)
        ]
        return torch.cat(found).reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _levelled(self, matches: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """(N, levels * (2 * radius + 1)^2) of N places' matches (N, places), around where x and y (N,) point."""
        picture, x, y = matches.reshape(-1, 1, *self._size), x.reshape(-1, 1, 1), y.reshape(-1, 1, 1)
        found = [self._sampled(picture, x, y)]
        for level in range(1, self._levels):
            picture = F.avg_pool2d(picture, 2)
            found.append(self._sampled(picture, x / 2**level, y / 2**level))
        return torch.cat([one.flatten(1) for one in found], 1)

    def _sampled(self, matches: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Matches at all whole offsets up to the radius from (x, y), one column of offsets after the other; outside, 0."""
        height, width = matches.shape[-2:]
        offsets = torch.arange(-self._radius, self._radius + 1, device=x.device, dtype=x.dtype)
        across, down = torch.broadcast_tensors(x + offsets[:, None], y + offsets)
        grid = torch.stack([across * (2 / (width - 1)) - 1, down * (2 / (height - 1)) - 1], -1)
        return F.grid_sample(matches, grid, align_corners=True)
