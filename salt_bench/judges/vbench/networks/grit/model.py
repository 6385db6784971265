"""The whole network: frames to boxes, names and descriptions, in one pass for all four dimensions that read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.grit.boxes import Cascade, pool
from salt_bench.judges.vbench.networks.grit.fpn import Pyramid
from salt_bench.judges.vbench.networks.grit.proposals import Proposals
from salt_bench.judges.vbench.networks.grit.text import DESCRIPTION, NAME, Writer, write
from salt_bench.judges.vbench.networks.grit.vit import ViT

MEAN = (123.675, 116.28, 103.53)
DEVIATION = (58.395, 57.12, 57.375)
MULTIPLE = 32
PREFIX = 14
AT_ONCE = 32  # boxes: bounds the memory of their prefixes


@dataclass(frozen=True)
class Shape:
    """What a checkpoint's tensors say of its network. The released one is the default."""

    width: int = 768
    heads: int = 12
    inner: int = 3072
    reaches: tuple[int, ...] = (14, 14, 64) * 4
    window: int = 14
    patch: int = 16
    grid: int = 14
    channels: int = 256
    box: int = 1024
    vocabulary: int = 30522
    places: int = 1024
    text_depth: int = 6
    text_width: int = 768
    text_heads: int = 12
    text_inner: int = 3072


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame's instances, best first: boxes (n, 4) in pixels, scores (n,), tokens of names and of descriptions (n, ·)."""

    boxes: Tensor
    scores: Tensor
    names: Tensor
    descriptions: Tensor


class TextDecoder(nn.Module):
    """The writer, under the name that checkpoints have for it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        text = (shape.text_depth, shape.text_width, shape.text_heads, shape.text_inner)
        self.textual = Writer(shape.channels, shape.vocabulary, shape.places, *text)


class RegionHeads(Cascade):
    """All that looks into boxes, under the one name that checkpoints have for it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape.channels, shape.box)
        self.text_decoder = TextDecoder(shape)

    def texts(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Names and descriptions of all frames' boxes."""
        decoder = self.text_decoder.textual
        prefix = pool(maps, boxes, PREFIX).flatten(2).transpose(1, 2)
        names, descriptions = [], []
        for part in prefix.split(AT_ONCE):
            past = decoder.read(part)
            names.append(write(decoder, past, NAME))
            descriptions.append(write(decoder, past, DESCRIPTION))
        return joined(names), joined(descriptions)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Token rows of several lengths below each other, filled on the right with the padding token 0."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[1])) for part in parts])


class Grit(nn.Module):
    """GRiT with a ViT-B (its mask head, which no dimension reads, left out)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        net = ViT(shape.width, shape.heads, shape.inner, shape.reaches, shape.window, shape.patch, shape.grid)
        self.backbone = Pyramid(net, shape.width, shape.channels)
        self.proposal_generator = Proposals(shape.channels)
        self.roi_heads = RegionHeads(shape)

    @torch.inference_mode()
    def forward(self, frames: Tensor) -> list[Seen]:
        """RGB frames (B, 3, H, W), 0 to 255, at their own size."""
        maps = self.backbone(padded(frames))
        found = self.roi_heads.refined(maps, self.proposal_generator(maps), *frames.shape[2:])
        boxes = [one.boxes for one in found]
        counts = [len(one) for one in boxes]
        names, descriptions = (tokens.split(counts) for tokens in self.roi_heads.texts(maps, boxes))
        return [Seen(f.boxes, f.scores, n, d) for f, n, d in zip(found, names, descriptions, strict=True)]


def padded(frames: Tensor) -> Tensor:
    """Normalised, then zeros on the right and at the bottom up to a multiple of 32."""
    mean, deviation = (frames.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return F.pad((frames - mean) / deviation, (0, -frames.shape[3] % MULTIPLE, 0, -frames.shape[2] % MULTIPLE))
