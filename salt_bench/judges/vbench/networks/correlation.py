"""How well every place of one frame matches every place of another, in both directions, and what a flow points at in that."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from salt_bench.judges.vbench.networks.linear import linear

CHUNK = 8 << 20
"""Bytes of matches that are looked into at once: as many as a cache holds."""


class Correlation:
    """Of features (B, C, H, W) of two frames: all products, scaled by 1 / sqrt(C), and their averages over 2 x 2, 4 x 4 …
    places of the frame that is looked into.

    The average of products is the product with the average, and products cost less than to keep them (2.2 GB of a 720p frame,
    in both directions) and to come back to them: nothing is kept, and places are matched, some at a time, where they are looked
    up."""

    def __init__(self, before: Tensor, after: Tensor, levels: int, radius: int) -> None:
        scale = before.shape[1] ** -0.25  # on either side
        self._before, self._after = (self._pyramid(features * scale, levels) for features in (before, after))
        self._radius = radius

    def __call__(self, to_before: Tensor, to_after: Tensor) -> Tensor:
        """Matches around where flows (B, 2, H, W) point from each place, (B, 2 * levels * (2 * radius + 1)^2, H, W): first
        those of the frame before in the frame after."""
        found = self._around(self._before[0], self._after, to_after), self._around(self._after[0], self._before, to_before)
        return torch.cat(found, 1)

    def _pyramid(self, features: Tensor, levels: int) -> list[Tensor]:
        found = [features]
        for _ in range(levels - 1):
            found.append(F.avg_pool2d(found[-1], 2))
        return found

    def _around(self, features: Tensor, others: list[Tensor], flow: Tensor) -> Tensor:
        batch, _, height, width = flow.shape
        rows, columns = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (height, width))
        x, y = (columns + flow[:, 0]).flatten(1), (rows[:, None] + flow[:, 1]).flatten(1)
        places = features.flatten(2).transpose(1, 2)
        step = max(1, CHUNK // (4 * height * width))
        found = []
        for one in range(batch):
            pyramid = [other[one] for other in others]
            parts = zip(places[one].split(step), x[one].split(step), y[one].split(step), strict=True)
            found += [self._matched(*part, pyramid) for part in parts]
        return torch.cat(found).reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _matched(self, places: Tensor, x: Tensor, y: Tensor, others: list[Tensor]) -> Tensor:
        """(N, levels * (2 * radius + 1)^2) of N places' features (N, C), around where x and y (N,) point in `others`."""
        x, y = x[:, None, None], y[:, None, None]
        found = []
        for level, other in enumerate(others):
            matches = linear(places, other.flatten(1).t().contiguous()).view(-1, 1, *other.shape[1:])
            found.append(self._sampled(matches, x / 2**level, y / 2**level).flatten(1))
        return torch.cat(found, 1)

    def _sampled(self, matches: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Matches at all whole offsets up to the radius from (x, y), one column of offsets after the other; outside, 0."""
        height, width = matches.shape[-2:]
        offsets = torch.arange(-self._radius, self._radius + 1, device=x.device, dtype=x.dtype)
        across, down = torch.broadcast_tensors(x + offsets[:, None], y + offsets)
        grid = torch.stack([across * (2 / (width - 1)) - 1, down * (2 / (height - 1)) - 1], -1)
        return F.grid_sample(matches, grid, align_corners=True)
