"""MUSIQ, the multi-scale image quality transformer (Ke et al. 2021, arXiv 2108.05997), with the weights trained on SPAQ.

An image is seen three times: with its longer side at 224, at 384, and as it is. Each is cut into 32 x 32 patches; a small
ResNet turns a patch into a token, the token learns where it lies on a 10 x 10 grid and from which of the three scales it
comes, and a transformer reads all of them. One size at a time, so nothing has to be masked.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks import loading
from salt_bench.judges.vbench.networks.linear import Linear
from salt_bench.judges.vbench.resizing import resize

FILE = "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth"
PATCH, GRID, SIDES = 32, 10, (224, 384)
WIDTH, LAYERS, HEADS, HIDDEN = 384, 14, 6, 1152
_Norm = partial(nn.LayerNorm, eps=1e-6)


class StandardConv(nn.Conv2d):
    """A convolution without bias whose filters have mean 0 and (unbiased) standard deviation 1, padded as TensorFlow's "same":
    the odd row and column of zeros go below and to the right."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inside, outside, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        deviation = weight.flatten(1).std(1)[:, None, None, None]
        return F.conv2d(same(x, self.kernel_size[0], self.stride[0]), weight / (deviation + 1e-5), stride=self.stride)


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """(B, C, H, W) with just the zeros around it that let ceil(H / stride) x ceil(W / stride) windows fit."""
    rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


class Bottleneck(nn.Module):
    """Residual block 1x1, 3x3, 1x1 with a projected shortcut: (B, 64, H, W) to (B, 256, H, W)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        middle = outside // 4
        self.conv1, self.gn1 = StandardConv(inside, middle, 1), nn.GroupNorm(32, middle, 1e-4)
        self.conv2, self.gn2 = StandardConv(middle, middle, 3), nn.GroupNorm(32, middle, 1e-4)
        self.conv3, self.gn3 = StandardConv(middle, outside, 1), nn.GroupNorm(32, outside, 1e-4)
        self.conv_proj, self.gn_proj = StandardConv(inside, outside, 1), nn.GroupNorm(32, outside, 1e-4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        return F.relu(self.gn3(self.conv3(y)) + self.gn_proj(self.conv_proj(x)))


class Attention(nn.Module):
    """Self-attention over (B, N, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = Linear(WIDTH, HIDDEN), Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """A transformer layer that normalises before it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.attention, self.norm2, self.mlp = _Norm(WIDTH), Attention(), _Norm(WIDTH), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """Patch tokens with their places and scales to the class token. The dictionaries carry the weight file's names."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.posembed_input = nn.ParameterDict({"position_emb": torch.zeros(1, GRID * GRID, WIDTH)})
        self.scaleembed_input = nn.ParameterDict({"scale_emb": torch.zeros(len(SIDES) + 1, WIDTH)})
        self.transformer = nn.ModuleDict({f"encoderblock_{number}": Block() for number in range(layers)})
        self.encoder_norm = _Norm(WIDTH)

    def forward(self, tokens: Tensor, places: Tensor, scales: Tensor) -> Tensor:
        where, scale = self.posembed_input["position_emb"][0, places], self.scaleembed_input["scale_emb"][scales]
        x = tokens + where + scale
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1)
        for block in self.transformer.values():
            x = block(x)
        return self.encoder_norm(x[:, 0])


class Musiq(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to scores (B,), about 0 (bad) to 100."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.conv_root, self.gn_root = StandardConv(3, 64, 7, 2), nn.GroupNorm(32, 64, 1e-6)
        self.block1 = Bottleneck(64, 256)
        self.embedding = Linear(256 * (PATCH // 4) ** 2, WIDTH)
        self.transformer_encoder = Encoder(layers)
        self.head = Linear(WIDTH, 1)

    def forward(self, images: Tensor) -> Tensor:
        cuts = [patches(image) for image in pyramid(2 * images - 1)]
        grids = [places(*cut.shape[1:3]) for cut in cuts]
        tokens = torch.cat([self.token(cut.flatten(1, 2)) for cut in cuts], 1)
        scales = torch.cat([torch.full_like(grid, scale) for scale, grid in enumerate(grids)])
        return self.head(self.transformer_encoder(tokens, torch.cat(grids), scales))[:, 0]

    def token(self, cut: Tensor) -> Tensor:
        """Patches (B, N, 3, 32, 32) to tokens (B, N, 384)."""
        x = F.relu(self.gn_root(self.conv_root(cut.flatten(0, 1))))
        x = self.block1(F.max_pool2d(same(x, 3, 2), 3, 2))
        return self.embedding(x.permute(0, 2, 3, 1).flatten(1)).unflatten(0, cut.shape[:2])  # TensorFlow's order: channels last


def pyramid(images: Tensor) -> list[Tensor]:
    """The images (B, 3, H, W) with their longer side at 224 and at 384 (small ones grow), then as they are."""
    height, width = images.shape[-2:]
    ratios = [side / max(height, width) for side in SIDES]
    return [*(resize(images, (round(height * r), round(width * r)), "bicubic") for r in ratios), images]


def patches(images: Tensor) -> Tensor:
    """(B, 3, H, W), filled up with zeros on all sides, to patches (B, rows, columns, 3, 32, 32)."""
    x = same(images, PATCH, PATCH)
    return x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5)


def places(rows: int, columns: int) -> Tensor:
    """Which of the 10 x 10 learned positions each patch of a grid takes, row by row."""
    down, along = (torch.arange(n) * GRID // n for n in (rows, columns))
    return (down[:, None] * GRID + along).flatten()


def load(path: Path) -> Musiq:
    """The network with the weights of a file."""
    state = loading.read(path)
    layers = loading.count(state, "transformer_encoder.transformer.encoderblock_")
    return loading.fill(loading.empty(lambda: Musiq(layers)), state, path)
