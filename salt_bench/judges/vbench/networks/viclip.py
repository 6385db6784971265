"""ViCLIP-L/14: one vector for eight frames and one for a text, in the same space (Wang et al. 2023, arXiv 2307.06942).

Both towers are CLIP's; the one for videos lets all patches of all frames see each other. They lie in one file and load apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks import byte_pairs, loading
from salt_bench.judges.vbench.networks.linear import Linear, linear

FILE = "ViCLIP/ViClip-InternVid-10M-FLT.pth"
FRAMES, SIDE, PATCH, SPACE = 8, 224, 14, 768
CONTEXT, VOCABULARY = 32, 49408
_PREFIXES = ("vision_encoder.", "text_encoder.")
_LOSS_ONLY = "temp"  # the temperature of the training loss


class QuickGelu(nn.Module):
    """OpenAI's approximation of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Self-attention over (B, N, D), in a causal tower to what came before."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        self._heads, self._causal = width // 64, causal

    def forward(self, x: Tensor) -> Tensor:
        parts = linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, self._heads, 64))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return self.out_proj(
            F.scaled_dot_product_attention(query, key, value, is_causal=self._causal).transpose(1, 2).flatten(2)
        )


class Block(nn.Module):
    """A transformer layer that normalises before it computes."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.attn, self.ln_1, self.ln_2 = Attention(width, causal), nn.LayerNorm(width), nn.LayerNorm(width)
        parts = [("c_fc", Linear(width, 4 * width)), ("gelu", QuickGelu()), ("c_proj", Linear(4 * width, width))]
        self.mlp = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, causal: bool = False) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(Block(width, causal) for _ in range(layers)))

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)


class VideoTower(nn.Module):
    """Normalised frames (B, 3, 8, 224, 224) to vectors (B, 768), not of unit length."""

    def __init__(self, width: int = 1024, layers: int = 24) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((SIDE // PATCH) ** 2 + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, FRAMES, width))
        self.proj = nn.Parameter(torch.zeros(width, SPACE))
        self.conv1 = nn.Conv3d(3, width, (1, PATCH, PATCH), (1, PATCH, PATCH), bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, layers)

    def forward(self, video: Tensor) -> Tensor:
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(video), 1, -1)
        x = self.transformer(self.ln_pre(torch.cat([first, self.tokens(video)], 1)))
        return self.ln_post(x[:, 0]) @ self.proj

    def tokens(self, video: Tensor) -> Tensor:
        """Patches with their place and time, (B, 256 * 8, D): all times of a patch, then the next patch."""
        x = self.conv1(video).flatten(3).permute(0, 3, 2, 1)  # (B, patch, time, D)
        x = x + self.positional_embedding[1:, None] + self.temporal_positional_embedding
        return x.flatten(1, 2)


class TextTower(nn.Module):
    """Token numbers (B, 32), the largest being the end of the text, to vectors (B, 768), not of unit length."""

    def __init__(
        self, width: int = 768, layers: int = 12, context: int = CONTEXT, vocabulary: int = VOCABULARY, space: int = SPACE
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.zeros(context, width))
        self.transformer = Transformer(width, layers, causal=True)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, space))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.ln_final(self.transformer(self.token_embedding(tokens) + self.positional_embedding))
        ends = tokens.argmax(-1)
        return x[torch.arange(len(x), device=x.device), ends] @ self.text_projection


def tokenize(text: str) -> Tensor:
    """CLIP's byte pairs of a text, (1, 32): a long text is cut and still ends with the end token."""
    return byte_pairs.tokens([text], CONTEXT)


def load_video(path: Path) -> VideoTower:
    """The tower for videos, with the weights of a file."""
    return _tower(lambda layers: VideoTower(layers=layers), "vision_encoder.", path)


def load_text(path: Path) -> TextTower:
    """The tower for texts, with the weights of the same file."""
    return _tower(lambda layers: TextTower(layers=layers), "text_encoder.", path)


_Tower = TypeVar("_Tower", bound=nn.Module)


def _tower(make: Callable[[int], _Tower], prefix: str, path: Path) -> _Tower:
    state = loading.read(path, inside="model")
    strange = [name for name in state if not name.startswith(_PREFIXES) and name != _LOSS_ONLY]
    if strange:
        raise UserError(f"{path} holds {strange[0]!r}, which ViCLIP has no place for: it is another file, download it again")
    tower = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    layers = loading.count(tower, "transformer.resblocks.")
    return loading.fill(loading.empty(lambda: make(layers)), tower, path)
