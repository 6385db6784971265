"""From proposals to boxes: a cascade of three heads (Cai & Vasconcelos 2018), each on the boxes of the one before."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.grit.fpn import STRIDES
from salt_bench.judges.vbench.networks.grit.proposals import Scored
from salt_bench.judges.vbench.networks.linear import Linear

POOLED = 7
STAGES = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""How much each stage magnifies the changes of a box that it predicts: of its centre (x, y) and of its size (w, h)."""
LEVELS = STRIDES[:3]
USUAL = 224  # pixels: a box of this side is pooled from the map of stride 16
SURE = 0.5
OVERLAP = 0.5
KEPT = 256
FURTHEST = math.log(1000 / 16)


def levels(boxes: Tensor) -> Tensor:
    """Which of the three finest maps, 0 to 2, each box is pooled from: one coarser for every doubling of its side."""
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=0).sqrt()
    return torch.floor(1 + torch.log2(sides / USUAL + 1e-8)).clamp(0, len(LEVELS) - 1).long()


def pool(maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int) -> Tensor:
    """Every frame's boxes, one frame after the other: (n, C, size, size)."""
    from torchvision.ops import roi_align

    owner = torch.cat([torch.full((len(one), 1), float(n)) for n, one in enumerate(boxes)]).to(maps[0])
    regions = torch.cat([owner, torch.cat(list(boxes))], 1)
    place = levels(regions[:, 1:])
    pooled = maps[0].new_zeros(len(regions), maps[0].shape[1], size, size)
    for number, (level, stride) in enumerate(zip(maps, LEVELS, strict=False)):
        here = place == number
        pooled[here] = roi_align(level, regions[here], size, 1 / stride, sampling_ratio=0, aligned=True)
    return pooled


def moved(boxes: Tensor, change: Tensor, weights: Sequence[float]) -> Tensor:
    """Boxes after a predicted change: the centre moves in units of the size, the size grows exponentially (R-CNN, eq. 1-4)."""
    x, y, w, h = (change / change.new_tensor(weights)).unbind(1)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = boxes[:, :2] + 0.5 * size + torch.stack([x, y], 1) * size
    half = 0.5 * size * torch.stack([w, h], 1).clamp(max=FURTHEST).exp()
    return torch.cat([centre - half, centre + half], 1)


def clipped(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes within the picture."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))


class Body(nn.Module):
    """What a stage sees of a box: (n, C, 7, 7) to (n, inner)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.fc1 = Linear(channels * POOLED**2, inner)
        self.fc2 = Linear(inner, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))


class Predictor(nn.Module):
    """What a stage says of a box: how probable it is that there is something, (n,), and how the box should change, (n, 4)."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.cls_score = Linear(inner, 2)
        self.bbox_pred = nn.Sequential(Linear(inner, inner), nn.ReLU(), Linear(inner, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x).softmax(1)[:, 0], self.bbox_pred(x)


def final(boxes: Tensor, scores: Tensor, height: int, width: int) -> Scored:
    """One frame's answer: sure enough, each thing once, not empty, best first."""
    from torchvision.ops import batched_nms

    boxes = clipped(boxes, height, width)
    sure = (scores > SURE) & boxes.isfinite().all(1)
    boxes, scores = boxes[sure], scores[sure]
    kept = batched_nms(boxes, scores, torch.zeros_like(scores, dtype=torch.long), OVERLAP)[:KEPT]
    boxes, scores = boxes[kept], scores[kept]
    there = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return Scored(boxes[there], scores[there])


class Cascade(nn.Module):
    """Three stages."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.box_head = nn.ModuleList(Body(channels, inner) for _ in STAGES)
        self.box_predictor = nn.ModuleList(Predictor(inner) for _ in STAGES)

    def refined(self, maps: Sequence[Tensor], proposals: Sequence[Scored], height: int, width: int) -> list[Scored]:
        """Each frame's boxes, in frames of (height, width) pixels before padding."""
        counts = [len(one.boxes) for one in proposals]
        boxes, total = torch.cat([one.boxes for one in proposals]), torch.zeros(sum(counts), device=maps[0].device)
        for stage, (body, predictor) in enumerate(zip(self.box_head, self.box_predictor, strict=True)):
            if stage:
                boxes = clipped(boxes, height, width)
            something, change = predictor(body(pool(maps, boxes.split(counts), POOLED)))
            boxes, total = moved(boxes, change, STAGES[stage]), total + something
        prior = torch.cat([one.scores for one in proposals])
        scores = (total / len(STAGES) * prior).sqrt()
        return [final(b, s, height, width) for b, s in zip(boxes.split(counts), scores.split(counts), strict=True)]
