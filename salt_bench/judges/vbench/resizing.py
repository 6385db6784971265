"""Frames to what a network sees: the sizes, crops and pixel scales that the official transforms end up with.

Pixel centres lie at half integers (align_corners=False), and nothing is antialiased where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""(mean, standard deviation) of the red, green and blue channels, in [0, 1]."""

Size = tuple[int, int]
"""Height, width."""


def floats(frames: np.ndarray, device: str = "cpu") -> Tensor:
    """uint8 (T, H, W, C) to float32 (T, C, H, W), still 0 to 255."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float()


def portions(frames: np.ndarray, device: str) -> Iterator[np.ndarray]:
    """`frames` in order, some at a time: what a network takes at once is bounded, whatever a block holds. On a CPU few frames
    are fastest, whose activations stay in its cache."""
    most = 4 if device == "cpu" else 32
    for start in range(0, len(frames), most):
        yield frames[start : start + most]


def short(size: Size, side: int) -> Size:
    """The size at which the shorter side is `side`; the longer one is cut down to an integer."""
    height, width = size
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def corner(size: Size, side: int) -> tuple[int, int]:
    """Top and left of the `side` x `side` middle; halves go to the even number."""
    height, width = size
    return round((height - side) / 2), round((width - side) / 2)


def resize(x: Tensor, size: Size, how: Literal["bilinear", "bicubic"], antialias: bool = False) -> Tensor:
    """(T, C, H, W) at another size; as it is where it has that size already."""
    if (x.shape[-2], x.shape[-1]) == size:
        return x
    return F.interpolate(x, size=size, mode=how, align_corners=False, antialias=antialias)


def shorten(x: Tensor, side: int, how: Literal["bilinear", "bicubic"], antialias: bool = False) -> Tensor:
    """(T, C, H, W) with `side` as its shorter side."""
    return resize(x, short((x.shape[-2], x.shape[-1]), side), how, antialias)


def centre(x: Tensor, side: int) -> Tensor:
    """The `side` x `side` middle of (…, H, W); what is smaller is first filled up with zeros, more of them right and below."""
    height, width = x.shape[-2:]
    rows, columns = max(side - height, 0), max(side - width, 0)
    x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    top, left = corner((x.shape[-2], x.shape[-1]), side)
    return x[..., top : top + side, left : left + side]


def pil_square(image: Image.Image, shortest: int, side: int) -> np.ndarray:
    """PIL's bicubic resize to a shorter side of `shortest`, which always smooths, and its `side` x `side` middle: uint8 RGB."""
    height, width = short((image.height, image.width), shortest)
    top, left = corner((height, width), side)
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(small.crop((left, top, left + side, top + side)))


def normalised(x: Tensor, scale: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """(T, 3, H, W) in [0, 1] as multiples of the standard deviation from the mean."""
    mean, deviation = (torch.tensor(part, device=x.device)[:, None, None] for part in scale)
    return (x - mean) / deviation
