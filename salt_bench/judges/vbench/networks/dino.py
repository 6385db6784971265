"""DINO's ViT-B/16 (Caron et al. 2021), a forward of our own: fused attention, any picture size, sizes read from the weights."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from salt_bench.judges.vbench import weights
from salt_bench.judges.vbench.networks.linear import linear

_HEAD, _EPS = 64, 1e-6


@dataclass(frozen=True, eq=False)
class Dino:
    """`state` is the released state dict, on its device."""

    state: Mapping[str, torch.Tensor]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The class token after the last norm, (B, D), of normalised images (B, 3, H, W); what no patch covers is not seen."""
        net = self.state
        with torch.inference_mode():
            patch = net["patch_embed.proj.weight"].shape[-1]
            grid = F.conv2d(images, net["patch_embed.proj.weight"], net["patch_embed.proj.bias"], stride=patch)
            tokens = grid.flatten(2).transpose(1, 2)
            x = torch.cat([net["cls_token"].expand(len(images), -1, -1), tokens], dim=1)
            x = x + positions(net["pos_embed"], *grid.shape[-2:])
            for number in range(self._depth()):
                x = self._block(x, f"blocks.{number}.")
            return self._norm(x[:, 0], "norm")

    def _depth(self) -> int:
        return 1 + max(int(name.split(".")[1]) for name in self.state if name.startswith("blocks."))

    def _block(self, x: torch.Tensor, name: str) -> torch.Tensor:
        x = x + self._attention(self._norm(x, f"{name}norm1"), f"{name}attn.")
        inner = F.gelu(self._linear(self._norm(x, f"{name}norm2"), f"{name}mlp.fc1"))
        return x + self._linear(inner, f"{name}mlp.fc2")

    def _attention(self, x: torch.Tensor, name: str) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self._linear(x, f"{name}qkv").view(batch, length, 3, width // _HEAD, _HEAD).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, width)
        return self._linear(mixed, f"{name}proj")

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], _EPS)


def positions(table: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The position embeddings (1, 1 + rows · columns, D) of a grid of patches, from the square table of training.

    DINO stretches by a factor that is a tenth of a patch too large, a guard against rounding; the factor, not the size, sets
    where the bicubic filter reads, so it must be the same here."""
    side = round((table.shape[1] - 1) ** 0.5)
    if rows == columns == side:
        return table
    square = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factor = ((rows + 0.1) / side, (columns + 0.1) / side)
    stretched = F.interpolate(square, scale_factor=factor, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], stretched.flatten(2).transpose(1, 2)], dim=1)


@lru_cache(maxsize=2)
def load(path: Path, device: str) -> Dino:
    """The network in `path`, one for all who ask."""
    with weights.reading(path):
        state = torch.load(path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path))
        return Dino({name: value.float() for name, value in state.items()})
