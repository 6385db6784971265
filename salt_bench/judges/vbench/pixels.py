"""From decoded frames to what a network sees: the resizes, crops and scalings of torchvision, by the formulas."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def tensor(frames: np.ndarray) -> torch.Tensor:
    """uint8 (t, H, W, 3) to float (t, 3, H, W), still 0 to 255."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()


def short_side(height: int, width: int, short: int) -> tuple[int, int]:
    """The size whose short side is `short`; the long side keeps the shape and is cut to a whole number, not rounded."""
    if min(height, width) == short:
        return height, width
    long = int(short * max(height, width) / min(height, width))
    return (short, long) if height <= width else (long, short)


def resized(frames: torch.Tensor, short: int, mode: str) -> torch.Tensor:
    """(t, 3, H, W) with the short side `short`, by "bilinear" or "bicubic" without antialiasing; bicubic overshoot is kept."""
    height, width = frames.shape[-2:]
    size = short_side(height, width, short)
    return frames if size == (height, width) else F.interpolate(frames, size, mode=mode, align_corners=False, antialias=False)


def corner(height: int, width: int, side: int) -> tuple[int, int]:
    """Top and left of the middle square of this side; a half is rounded to the even number."""
    return round((height - side) / 2), round((width - side) / 2)


def center(frames: torch.Tensor, side: int) -> torch.Tensor:
    """The middle square of (t, 3, H, W)."""
    top, left = corner(frames.shape[-2], frames.shape[-1], side)
    return frames[..., top : top + side, left : left + side]


def normalised(frames: torch.Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> torch.Tensor:
    """(t, 3, H, W) of 0 to 255, divided by 255, less the mean, by the deviation of each channel."""
    mean, deviation = (torch.tensor(values, device=frames.device)[:, None, None] for values in statistics)
    return (frames / 255.0 - mean) / deviation
