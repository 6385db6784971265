"""OpenAI's CLIP from its released files: sizes are read from the weights. In half precision it is on open_clip's network,
whose import keeps 160 MB; in single precision on one of our own."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from salt_bench.judges.vbench import resizing, weights
from salt_bench.judges.vbench.networks import archive, byte_pairs, loading
from salt_bench.judges.vbench.networks.viclip import Block, TextTower, Transformer

Weights = Mapping[str, torch.Tensor]
_HEAD = 64  # channels per attention head, in every released CLIP
_INTEGERS = {"input_resolution", "context_length", "vocab_size"}  # in the released files; they say what the shapes say


@dataclass(frozen=True, eq=False)
class Images:
    """The image tower: `side` the pixels of its square input; `dtype` that of its matrices."""

    model: Any
    side: int
    device: str
    dtype: torch.dtype

    def frames(self, frames: np.ndarray) -> torch.Tensor:
        """Projected features (t, D) of uint8 frames (t, H, W, 3), resized as float tensors: bicubic, no antialias, no clamp."""
        small = resizing.shorten(resizing.floats(frames, self.device), self.side, "bicubic")
        return self.encode(resizing.centre(small, self.side))

    def pictures(self, frames: np.ndarray) -> torch.Tensor:
        """The same by way of PIL, whose bicubic resize always smooths: features (t, D)."""
        squares = [resizing.pil_square(Image.fromarray(frame), self.side, self.side) for frame in frames]
        return self.encode(resizing.floats(np.stack(squares), self.device))

    def encode(self, squares: torch.Tensor) -> torch.Tensor:
        """Features (t, D) of (t, 3, side, side), 0 to 255."""
        with torch.inference_mode():
            return self.model(resizing.normalised(squares / 255, resizing.CLIP).to(self.dtype))


@dataclass(frozen=True, eq=False)
class Texts:
    """The text tower: `model` maps token numbers (N, context) to features; `scale` is exp(logit_scale), 100 as released."""

    model: Callable[[torch.Tensor], torch.Tensor]
    scale: float
    context: int
    device: str

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """Projected features (N, D) of texts."""
        with torch.inference_mode():
            return self.model(byte_pairs.tokens(texts, self.context).to(self.device))


@lru_cache(maxsize=2)
def images(path: Path, device: str, precision: str) -> Images:
    """The image tower in `path`, one for all who ask. Precision "fp16" is the official one on CUDA: matrices in half, norms
    in float32."""
    with weights.reading(path):
        return image_tower(read(path), device, precision)


@lru_cache(maxsize=1)
def texts(path: Path, device: str, precision: str) -> Texts:
    """The text tower in `path`."""
    with weights.reading(path):
        return text_tower(read(path), device, precision)


def read(path: Path) -> Weights:
    """The state dict in a released TorchScript archive, or in a file that holds nothing else."""
    if _is_script(path):
        return archive.read(path)
    return dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True))


def _is_script(path: Path) -> bool:
    """A TorchScript archive carries its code; a saved state dict does not."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def image_tower(state: Weights, device: str, precision: str) -> Images:
    """The image half of `state`."""
    tower = {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}
    (width, _, patch, _), places = tower["conv1.weight"].shape, len(tower["positional_embedding"])
    side = patch * round((places - 1) ** 0.5)
    if precision == "fp16":
        return Images(_half(_official(state).visual, tower).to(device), side, device, torch.float16)
    model = loading.empty(lambda: Pictures(width, patch, places, tower["proj"].shape[1], _layers(tower)))
    return Images(_single(model, tower).to(device), side, device, torch.float32)


def text_tower(state: Weights, device: str, precision: str) -> Texts:
    """The text half of `state`."""
    tower = {name: value for name, value in state.items() if not name.startswith("visual.") and name not in _INTEGERS}
    scale = float(tower.pop("logit_scale").float().exp())
    (context, _), (words, width) = tower["positional_embedding"].shape, tower["token_embedding.weight"].shape
    space = tower["text_projection"].shape[1]
    if precision == "fp16":
        model = _official(state)
        model.visual = None
        model.attn_mask = torch.full((context, context), float("-inf")).triu_(1)
        half = _half(model, tower | {"logit_scale": state["logit_scale"]}).to(device)
        return Texts(half.encode_text, scale, context, device)
    single = loading.empty(lambda: TextTower(width, _layers(tower), context, words, space))
    return Texts(_single(single, tower).to(device), scale, context, device)


class Pictures(nn.Module):
    """Normalised pictures (B, 3, side, side) to projected vectors (B, space)."""

    def __init__(self, width: int, patch: int, places: int, space: int, layers: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(places, width))
        self.proj = nn.Parameter(torch.zeros(width, space))
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x))
        return self.ln_post(x)[:, 0] @ self.proj


def _official(state: Weights) -> Any:
    """open_clip's CLIP of the sizes that `state` has, without numbers: no random start for what is overwritten at once."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    width, _, patch, _ = state["visual.conv1.weight"].shape
    side = patch * round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    depth = _layers(state, "visual.transformer")
    vision = CLIPVisionCfg(layers=depth, width=width, head_width=_HEAD, patch_size=patch, image_size=side)
    words, inner = state["token_embedding.weight"].shape
    length, depth = len(state["positional_embedding"]), _layers(state)
    text = CLIPTextCfg(context_length=length, vocab_size=words, width=inner, heads=inner // _HEAD, layers=depth)
    with torch.device("meta"):
        return CLIP(state["text_projection"].shape[1], vision, text, quick_gelu=True, cast_dtype=torch.float16)


class _Widened(nn.Module):
    """A layer that stays as it was released, in half precision, and computes in single: of all layers only one is in memory
    twice, and what was mapped from a file stays there. It is ViCLIP's, whose names and arithmetic are CLIP's."""

    def __init__(self, layer: Block) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = {name: value.float() for name, value in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, wide, (x,))


def _half(model: Any, state: Weights) -> Any:
    """open_clip's own network, as the official judges run it on CUDA."""
    from open_clip.model import convert_weights_to_lp

    model.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
    convert_weights_to_lp(model, torch.float16)
    return model.eval().requires_grad_(False)


def _single(model: Any, state: Weights) -> Any:
    """The words' embeddings stay as they are, too: what is looked up in them becomes single as it is added."""
    wide = {
        name: value if ".resblocks." in name or "token_embedding" in name else value.float() for name, value in state.items()
    }
    model.load_state_dict(wide, assign=True)
    model.transformer.resblocks = nn.Sequential(*map(_Widened, model.transformer.resblocks))
    return model.eval().requires_grad_(False)


def _layers(state: Weights, tower: str = "transformer") -> int:
    found = (re.match(rf"{re.escape(tower)}\.resblocks\.(\d+)\.", name) for name in state)
    return 1 + max(int(match[1]) for match in found if match)
