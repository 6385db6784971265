"""OpenAI's CLIP from its released files, on open_clip's network: sizes are read from the weights themselves."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from salt_bench.judges.vbench import resizing, weights
from salt_bench.judges.vbench.networks import archive
from salt_bench.judges.vbench.networks.viclip import Block

Weights = Mapping[str, torch.Tensor]
_HEAD = 64  # channels per attention head, in every released CLIP
_INTEGERS = {"input_resolution", "context_length", "vocab_size"}  # in the released files; they say what the shapes say


@dataclass(frozen=True, eq=False)
class Images:
    """The image tower: `model` is open_clip's; `side` the pixels of its square input; `dtype` that of its matrices."""

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
    """The text tower: `model` is open_clip's CLIP without its image tower; `scale` is exp(logit_scale), 100 as released."""

    model: Any
    scale: float
    device: str

    def __call__(self, texts: list[str]) -> torch.Tensor:
        """Projected features (N, D) of texts."""
        import open_clip

        tokens = open_clip.SimpleTokenizer(context_length=self.model.context_length)(texts)
        with torch.inference_mode():
            return self.model.encode_text(tokens.to(self.device))


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
    model, dtype = _empty(state, precision)
    tower = {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}
    side = model.visual.image_size[0]
    return Images(_filled(model.visual, tower, dtype).to(device), side, device, dtype)


def text_tower(state: Weights, device: str, precision: str) -> Texts:
    """The text half of `state`."""
    model, dtype = _empty(state, precision)
    model.visual = None
    size = model.context_length
    model.attn_mask = torch.full((size, size), float("-inf")).triu_(1)
    tower = {name: value for name, value in state.items() if not name.startswith("visual.") and name not in _INTEGERS}
    return Texts(_filled(model, tower, dtype, causal=True).to(device), float(state["logit_scale"].float().exp()), device)


def _empty(state: Weights, precision: str) -> tuple[Any, torch.dtype]:
    """A CLIP of the sizes that `state` has, without numbers: no random start for what is overwritten at once."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    width, _, patch, _ = state["visual.conv1.weight"].shape
    side = patch * round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    depth = _layers(state, "visual.transformer")
    vision = CLIPVisionCfg(layers=depth, width=width, head_width=_HEAD, patch_size=patch, image_size=side)
    words, inner = state["token_embedding.weight"].shape
    length, depth = len(state["positional_embedding"]), _layers(state, "transformer")
    text = CLIPTextCfg(context_length=length, vocab_size=words, width=inner, heads=inner // _HEAD, layers=depth)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    with torch.device("meta"):
        return CLIP(state["text_projection"].shape[1], vision, text, quick_gelu=True, cast_dtype=dtype), dtype


class _Widened(nn.Module):
    """A layer that stays as it was released, in half precision, and computes in single: of all layers only one is in memory
    twice, and what was mapped from a file stays there. It is ViCLIP's, whose names and arithmetic are CLIP's."""

    def __init__(self, layer: Block) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """The mask is the one that the layer was made for: causal, or none."""
        wide = {name: value.float() for name, value in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, wide, (x,))

    def get_weight_dtype(self) -> torch.dtype:
        """What the stack's inputs are brought to: open_clip asks its first layer."""
        return torch.float32


def _filled(model: Any, state: Weights, dtype: torch.dtype, causal: bool = False) -> Any:
    from open_clip.model import convert_weights_to_lp

    stack = model.transformer
    if dtype == torch.float16:
        model.load_state_dict({name: value.float() for name, value in state.items()}, assign=True)
        convert_weights_to_lp(model, dtype)
    else:
        with torch.device("meta"):
            stack.resblocks = nn.ModuleList(Block(stack.width, causal) for _ in stack.resblocks)
        kept = {name: value if ".resblocks." in name else value.float() for name, value in state.items()}
        model.load_state_dict(kept, assign=True)
        stack.resblocks = nn.ModuleList(map(_Widened, stack.resblocks))
    return model.eval().requires_grad_(False)


def _layers(state: Weights, tower: str) -> int:
    found = (re.match(rf"{re.escape(tower)}\.resblocks\.(\d+)\.", name) for name in state)
    return 1 + max(int(match[1]) for match in found if match)
