"""A feature per frame, and how much the features of a video agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from salt_bench.judges.vbench.base import Found, Judged, Running
from salt_bench.judges.vbench.resizing import portions


class Collected(Running):
    """A pass that turns every block of frames into one array row per frame. `look` maps uint8 (t, H, W, 3) to (t, …), on
    `device`."""

    def __init__(self, look: Callable[[np.ndarray], np.ndarray], device: str = "cpu") -> None:
        self.look, self.device = look, device
        self.rows: list[np.ndarray] = []

    def take(self, frames: np.ndarray) -> bool:
        self.rows += map(self.look, portions(frames, self.device))
        return True

    def result(self) -> Found:
        return {"rows": np.concatenate(self.rows)}


def agreement(features: np.ndarray) -> np.ndarray:
    """(T-1,) of (max(0, cos(f_t, f_{t-1})) + max(0, cos(f_t, f_0))) / 2, in float64; float16 features are compared in float16,
    as the official judges compare them on CUDA."""
    rows = torch.from_numpy(features)
    rows = F.normalize(rows if rows.dtype == torch.float16 else rows.double(), dim=-1)
    last = F.cosine_similarity(rows[1:], rows[:-1], dim=-1).clamp(min=0)
    first = F.cosine_similarity(rows[1:], rows[:1], dim=-1).clamp(min=0)
    return ((last.double() + first.double()) / 2).numpy()


def consistency(features: np.ndarray) -> Judged:
    """The mean agreement of a video's frames with the one before and the first; it counts once per pair of frames."""
    found = agreement(features)
    if not len(found):
        return Judged(None, note="a single frame has nothing to agree with")
    return Judged(float(found.mean()), len(found), extra={"video_sim": float(found.sum()), "cnt_per_video": len(found)})
