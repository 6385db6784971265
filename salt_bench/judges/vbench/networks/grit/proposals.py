"""Where something may be: the proposal stage of CenterNet2 (Zhou et al. 2021), class-agnostic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.grit.fpn import STRIDES

CANDIDATE = 1e-4
PER_LEVEL = 1000
OVERLAP = 0.9
KEPT = 256
GROUPS = 32
DEPTH = 4
SLIGHTEST = 0.01  # pixels: no box is narrower, else pooling inside of it has no meaning


@dataclass(frozen=True, eq=False)
class Scored:
    """Boxes (n, 4) as x0, y0, x1, y1 in pixels with their scores (n,), best first."""

    boxes: Tensor
    scores: Tensor


class Scale(nn.Module):
    """A learned factor for one level's distances."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def tower(channels: int) -> nn.Sequential:
    """Convolution, group norm, ReLU, four times, in one flat sequence: its numbers are part of the tensors' names."""
    parts: list[nn.Module] = []
    for _ in range(DEPTH):
        parts += [nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(GROUPS, channels), nn.ReLU()]
    return nn.Sequential(*parts)


class Head(nn.Module):
    """Every level's heat-map (B, 1, h, w), a probability, and distances (B, 4, h, w) to the box's sides in strides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bbox_tower = tower(channels)
        self.bbox_pred = nn.Conv2d(channels, 4, 3, padding=1)
        self.agn_hm = nn.Conv2d(channels, 1, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in STRIDES)

    def forward(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        found = []
        for scale, level in zip(self.scales, maps, strict=True):
            x = self.bbox_tower(level)
            found.append((self.agn_hm(x).sigmoid(), torch.relu(scale(self.bbox_pred(x)))))
        return found


def candidates(heat: Tensor, distances: Tensor, stride: int) -> Scored:
    """One level of one frame: heat (h, w) and distances (4, h, w) in strides to its best boxes."""
    scores, place = heat.flatten().topk(min(PER_LEVEL, heat.numel()))
    place = place[scores > CANDIDATE]
    width = heat.shape[1]
    centre = torch.stack([place % width, place // width], 1) * stride + stride // 2
    left_top, right_bottom = (distances.flatten(1)[:, place].T * stride).split(2, 1)
    first = centre - left_top
    last = torch.maximum(centre + right_bottom, first + SLIGHTEST)
    return Scored(torch.cat([first, last], 1), scores[: len(place)].sqrt())


def strongest(levels: Sequence[Scored]) -> Scored:
    """All levels' boxes of one frame, without near duplicates."""
    from torchvision.ops import nms

    boxes, scores = torch.cat([level.boxes for level in levels]), torch.cat([level.scores for level in levels])
    kept = nms(boxes, scores, OVERLAP)[:KEPT]
    return Scored(boxes[kept], scores[kept])


class Proposals(nn.Module):
    """Maps to each frame's proposals."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.centernet_head = Head(channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Scored]:
        levels = list(zip(self.centernet_head(maps), STRIDES, strict=True))
        frames = range(len(maps[0]))
        return [strongest([candidates(heat[n, 0], far[n], stride) for (heat, far), stride in levels]) for n in frames]
