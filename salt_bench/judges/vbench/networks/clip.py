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

from salt_bench.errors import UserError
from salt_bench.judges.vbench import pixels

Weights = Mapping[str, torch.Tensor]
_HEAD = 64  # channels per attention head, in every released CLIP


@dataclass(frozen=True, eq=False)
class Clip:
    """`model` is open_clip's CLIP in evaluation; `side` the pixels of its square input; `dtype` that of its matrices."""

    model: Any
    side: int
    device: str
    dtype: torch.dtype

    def images(self, frames: np.ndarray) -> torch.Tensor:
        """Projected features (t, D) of uint8 frames (t, H, W, 3), resized as float tensors: bicubic, no antialias, no clamp."""
        small = pixels.resized(pixels.tensor(frames).to(self.device), self.side, "bicubic")
        return self.encode(pixels.center(small, self.side))

    def pictures(self, frames: np.ndarray) -> torch.Tensor:
        """The same by way of PIL, whose bicubic resize always smooths: features (t, D)."""
        return self.encode(pixels.tensor(np.stack([_pil_square(frame, self.side) for frame in frames])).to(self.device))

    def encode(self, squares: torch.Tensor) -> torch.Tensor:
        """Features (t, D) of (t, 3, side, side), 0 to 255."""
        with torch.inference_mode():
            return self.model.encode_image(pixels.normalised(squares, pixels.CLIP).to(self.dtype))

    def texts(self, texts: list[str]) -> torch.Tensor:
        """Projected features (N, D) of texts."""
        import open_clip

        tokens = open_clip.SimpleTokenizer(context_length=self.model.context_length)(texts)
        with torch.inference_mode():
            return self.model.encode_text(tokens.to(self.device))

    def scale(self) -> float:
        """exp(logit_scale): 100 in the released weights."""
        return float(self.model.logit_scale.exp())


def _pil_square(frame: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    height, width = pixels.short_side(frame.shape[0], frame.shape[1], side)
    image = Image.fromarray(frame)
    if (height, width) != frame.shape[:2]:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    top, left = pixels.corner(height, width, side)
    return np.asarray(image.crop((left, top, left + side, top + side)))


@lru_cache(maxsize=4)
def load(path: Path, device: str, precision: str) -> Clip:
    """The network in `path`, one for all who ask. Precision "fp16" is the official one on CUDA: matrices in half, norms not."""
    return build(read(path), device, torch.float16 if precision == "fp16" else torch.float32)


def read(path: Path) -> Weights:
    """The state dict in a released TorchScript archive, or in a file that holds nothing else."""
    if _is_script(path):
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise UserError(f"{path} is no CLIP weight file ({type(error).__name__}): fetch it again") from error


def _is_script(path: Path) -> bool:
    """A TorchScript archive carries its code; a saved state dict does not."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def build(state: Weights, device: str, dtype: torch.dtype) -> Clip:
    """A CLIP of the sizes that `state` has, holding it."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, convert_weights_to_lp

    width, _, patch, _ = state["visual.conv1.weight"].shape
    grid = round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    inner = len(state["ln_final.weight"])
    vision = CLIPVisionCfg(
        layers=_layers(state, "visual.transformer"), width=width, head_width=_HEAD, patch_size=patch, image_size=grid * patch
    )
    text = CLIPTextCfg(
        context_length=len(state["positional_embedding"]),
        vocab_size=len(state["token_embedding.weight"]),
        width=inner,
        heads=inner // _HEAD,
        layers=_layers(state, "transformer"),
    )
    with torch.device("meta"):  # no random start for 400 million numbers that are overwritten at once
        model = CLIP(state["text_projection"].shape[1], vision, text, quick_gelu=True, cast_dtype=dtype)
    size = text.context_length
    model.attn_mask = torch.full((size, size), float("-inf")).triu_(1)
    model.load_state_dict(_floats(state), assign=True)
    if dtype == torch.float16:
        convert_weights_to_lp(model, dtype)
    return Clip(model.eval().to(device), grid * patch, device, dtype)


def _layers(state: Weights, tower: str) -> int:
    found = (re.match(rf"{re.escape(tower)}\.resblocks\.(\d+)\.", name) for name in state)
    return 1 + max(int(match[1]) for match in found if match)


def _floats(state: Weights) -> dict[str, torch.Tensor]:
    """The tensors as float32; the three integers of the released files, which say what the shapes say, are left out."""
    extra = {"input_resolution", "context_length", "vocab_size"}
    return {name: value.float() for name, value in state.items() if name not in extra}
