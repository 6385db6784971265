"""How well every place of one frame matches every place of another, in both directions, and what a flow points at in that."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Correlation:
    """Of features (B, C, H, W) of two frames: all products, scaled by 1 / sqrt(C), and their averages over 2 x 2, 4 x 4 …
    places of the frame that is looked into."""

    def __init__(self, before: Tensor, after: Tensor, levels: int, radius: int) -> None:
        channels = before.shape[1]
        volume = before.flatten(2).transpose(1, 2) @ after.flatten(2) / channels**0.5  # (B, places before, places after)
        self._size, self._radius = (before.shape[-2], before.shape[-1]), radius
        self._into_after = self._pyramid(volume, levels)
        self._into_before = self._pyramid(volume.transpose(1, 2), levels)

    def __call__(self, to_before: Tensor, to_after: Tensor) -> Tensor:
        """Matches around where flows (B, 2, H, W) point from each place, (B, 2 * levels * (2 * radius + 1)^2, H, W): first
        those of the frame before in the frame after."""
        return torch.cat([self._around(self._into_after, to_after), self._around(self._into_before, to_before)], 1)

    def _pyramid(self, volume: Tensor, levels: int) -> list[Tensor]:
        """One picture (1, H, W) of matches per place, at each level: (B * H * W, 1, H / 2^level, W / 2^level)."""
        found = [volume.reshape(-1, 1, *self._size)]
        for _ in range(levels - 1):
            found.append(F.avg_pool2d(found[-1], 2))
        return found

    def _around(self, pyramid: list[Tensor], flow: Tensor) -> Tensor:
        batch, _, height, width = flow.shape
        rows, columns = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (height, width))
        x, y = (columns + flow[:, 0]).reshape(-1, 1, 1), (rows[:, None] + flow[:, 1]).reshape(-1, 1, 1)
        found = []
        for level, matches in enumerate(pyramid):
            near = self._sampled(matches, x / 2**level, y / 2**level)
            found.append(near.reshape(batch, height, width, -1))
        return torch.cat(found, -1).permute(0, 3, 1, 2)

    def _sampled(self, matches: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Matches at all whole offsets up to the radius from (x, y), one column of offsets after the other; outside, 0."""
        height, width = matches.shape[-2:]
        offsets = torch.arange(-self._radius, self._radius + 1, device=x.device, dtype=x.dtype)
        across, down = torch.broadcast_tensors(x + offsets[:, None], y + offsets)
        grid = torch.stack([across * (2 / (width - 1)) - 1, down * (2 / (height - 1)) - 1], -1)
        return F.grid_sample(matches, grid, align_corners=True)
