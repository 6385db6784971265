"""A text-video model of the embedded world: open_clip's own CLIP at a tiny size, fitted to the world's training captions.

A video is one picture: four frames in a row, and under each its close-up, the part that differs from the scene at full size.
The weights ship beside this file (float16); `nox -s semantic` fits them again, see `shapes_clip_training`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from open_clip.model import CLIP

WEIGHTS = Path(__file__).with_suffix(".safetensors")
WEIGHTS_SHA256 = ""
FRAMES, SIDE, PATCH, WIDTH, CONTEXT = 4, 24, 12, 64, 20
WORDS = tuple(
    ", a above and at below big blue both cross down dusk fog green in left moving night of over red right small snow square "
    "standing still the triangle up yellow".split()
)
"""The world's own words, in the order of their tokens: a word more would need other weights. One token per word and not
open_clip's byte pairs, whose 49 408 embeddings alone would weigh ten times as much as all the rest."""
_START, _END = len(WORDS) + 1, len(WORDS) + 2
"""Token 0 is padding; open_clip reads a text off where its token is largest, at the end."""
_DIFFERENT = 24.0
"""Grey levels by which a pixel of the subject differs from the scene, as in `judges.shared.subject`."""


def fresh() -> CLIP:
    """The model with random weights."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    size = (2 * SIDE, FRAMES * SIDE)
    vision = CLIPVisionCfg(layers=2, width=WIDTH, head_width=32, patch_size=PATCH, image_size=size, pool_type="avg")
    text = CLIPTextCfg(context_length=CONTEXT, vocab_size=_END + 1, width=WIDTH, heads=2, layers=1)
    return CLIP(WIDTH, vision, text)


@lru_cache(maxsize=1)
def model() -> CLIP:
    """The frozen model, float32, ready to judge."""
    from safetensors.torch import load

    data = WEIGHTS.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != WEIGHTS_SHA256:
        raise ValueError(f"{WEIGHTS} has sha256 {digest}, not {WEIGHTS_SHA256}: restore the file, or install the package again")
    net = fresh()
    net.load_state_dict({name: value.float() for name, value in load(data).items()})
    return net.eval().requires_grad_(False)


def videos(frames: np.ndarray) -> np.ndarray:
    """Unit vectors, float32 (B, 64), of videos of four frames, uint8 RGB (B, 4, H, W, 3)."""
    with torch.inference_mode():
        return model().encode_image(pictures(tiles(frames)), normalize=True).numpy()


@lru_cache(maxsize=4096)
def text(words: str) -> np.ndarray:
    """The unit vector, float32 (64,), of a caption or of a phrase of one."""
    with torch.inference_mode():
        return model().encode_text(tokens([words]), normalize=True)[0].numpy()


def tokens(texts: Sequence[str]) -> Tensor:
    """Word by word, int64 (B, 20)."""
    numbers = {word: number for number, word in enumerate(WORDS, 1)}
    found = np.zeros((len(texts), CONTEXT), np.int64)
    for row, one in zip(found, texts, strict=True):
        words = one.replace(",", " ,").split()
        if len(words) > CONTEXT - 2 or not set(words) <= set(WORDS):
            raise ValueError(f"the model reads up to {CONTEXT - 2} words of the embedded world, got {one!r}")
        row[: len(words) + 2] = [_START, *(numbers[word] for word in words), _END]
    return torch.from_numpy(found)


def tiles(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 (B, 4, H, W, 3) at the world's size, each with its close-up: uint8 (B, 4, 2, 24, 24, 3)."""
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[1] != FRAMES or frames.shape[-1] != 3:
        raise ValueError(f"the model sees uint8 RGB videos (B, {FRAMES}, H, W, 3), got {frames.dtype} {frames.shape}")
    flat = _sized(frames.reshape(-1, *frames.shape[2:]))
    return np.stack([flat, close_ups(flat)], 1).reshape(len(frames), FRAMES, 2, SIDE, SIDE, 3)


def pictures(found: np.ndarray) -> Tensor:
    """Tiles (B, 4, 2, 24, 24, 3) in [0, 255] as pictures, float32 (B, 3, 48, 96), of about unit variance."""
    grid = found.transpose(0, 5, 2, 3, 1, 4).reshape(-1, 3, 2 * SIDE, FRAMES * SIDE)
    return (torch.from_numpy(np.ascontiguousarray(grid)).float() - 127.5) / 64.0


def _sized(frames: np.ndarray) -> np.ndarray:
    """Frames (N, H, W, 3) at the world's own size."""
    if frames.shape[1:3] == (SIDE, SIDE):
        return frames
    return np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for frame in frames])


def close_ups(frames: np.ndarray) -> np.ndarray:
    """The square around what differs from the scene, a pixel wider on each side, as large as the frame: uint8 (N, 24, 24, 3).

    The scene of a row is the mean of its two ends, where this world never puts an object. The whole frame where nothing
    differs."""
    film = frames.astype(np.float32)
    scene = (film[:, :, :1] + film[:, :, -1:]) / 2
    subject = np.abs(film - scene).max(-1) > _DIFFERENT
    (top, bottom), (left, right) = _span(subject.any(2)), _span(subject.any(1))
    half = np.minimum(np.maximum(bottom - top, right - left) / 2 + 1.0, SIDE / 2)
    x, y = ((low + high) / SIDE - 1.0 for low, high in ((left, right), (top, bottom)))  # centres, in units of half a frame
    zoom, zero = half / (SIDE / 2), np.zeros_like(half)
    moved = torch.from_numpy(np.stack([zoom, zero, x, zero, zoom, y], 1).reshape(-1, 2, 3).astype(np.float32))
    places = F.affine_grid(moved, [len(film), 3, SIDE, SIDE], align_corners=False)
    source = torch.from_numpy(film).permute(0, 3, 1, 2).contiguous()
    found = F.grid_sample(source, places, padding_mode="border", align_corners=False)
    return found.round().byte().permute(0, 2, 3, 1).numpy()


def _span(there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the Trues of each row of bool (N, 24) begin and end; from 0 to 24 where there are none."""
    some = there.any(1)
    return np.where(some, there.argmax(1), 0), np.where(some, SIDE - there[:, ::-1].argmax(1), SIDE)
