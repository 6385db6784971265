"""UMT's ViT-L/16 over 16 frames, with the head that names the 400 actions of Kinetics (Li et al. 2023, arXiv 2303.16058)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks import loading
from salt_bench.judges.vbench.networks.linear import Linear, linear

FILE = "umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth"
FRAMES, SIDE, PATCH, CLASSES = 16, 224, 16, 400
WIDTH, LAYERS, HEADS = 1024, 24, 16
_TAUGHT = 8  # the positions were laid out for 8 frames and are stretched to 16
_Norm = partial(nn.LayerNorm, eps=1e-6)


class Embedding(nn.Module):
    """Frames (B, 3, T, H, W) to one token per 16 x 16 patch of each, frame by frame and row by row: (B, N, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, WIDTH, (1, PATCH, PATCH), (1, PATCH, PATCH))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention over (B, N, D). Queries and values have a bias, keys have none."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = Linear(WIDTH, 3 * WIDTH, bias=False), Linear(WIDTH, WIDTH)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        query, key, value = linear(x, self.qkv.weight, bias).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = Linear(WIDTH, 4 * WIDTH), Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A transformer layer that normalises before it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2, self.mlp = _Norm(WIDTH), Attention(), _Norm(WIDTH), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Umt(nn.Module):
    """Normalised frames (B, 3, 16, 224, 224) to the logits of the actions (B, 400)."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.patch_embed = Embedding()
        self.pos_embed = nn.Parameter(torch.zeros(1, FRAMES * (SIDE // PATCH) ** 2, WIDTH))
        self.blocks = nn.ModuleList([Block() for _ in range(layers)])
        self.fc_norm, self.head = _Norm(WIDTH), Linear(WIDTH, CLASSES)

    def forward(self, video: Tensor) -> Tensor:
        x = self.patch_embed(video) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x.mean(1)))


def positions() -> Tensor:
    """The fixed embedding (1, 16 * 14 * 14, D): sine on even and cosine on odd channels of the flat position in 8 frames, in
    float64, rounded to float32, then stretched linearly in time to 16 frames."""
    place = torch.arange(_TAUGHT * (SIDE // PATCH) ** 2, dtype=torch.float64)[:, None]
    channel = torch.arange(WIDTH)
    angle = place / 10000.0 ** (2 * (channel // 2).double() / WIDTH)
    table = torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()
    in_time = table.unflatten(0, (_TAUGHT, -1)).permute(1, 2, 0)
    return F.interpolate(in_time, size=FRAMES, mode="linear", align_corners=False).permute(2, 0, 1).flatten(0, 1)[None]


def load(path: Path) -> Umt:
    """The network with the weights of a file; one that holds no positions was trained with the fixed ones."""
    state = loading.read(path)
    if "pos_embed" not in state:
        state["pos_embed"] = positions()
    layers = loading.count(state, "blocks.")
    return loading.fill(loading.empty(lambda: Umt(layers)), state, path)
