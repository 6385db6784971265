"""Chunk jumps: does the picture change more where two chunks meet than inside of them? No weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.reading import caption
from salt_bench.types import ArrayClip, Clip, Output
from salt_bench.worlds.shapes import ShapesWorld

VISIBLE = 1.0
"""Grey levels, over the whole picture, by which a boundary must stand out to be counted as a seam."""


@dataclass(frozen=True)
class ChunkJumps(Judge):
    """With d_t = mean |I_t - I_(t-1)| over pixels and channels, in grey levels, a boundary before frame b stands out by
    e_b = max(0, d_b - max d_t over the steps t inside the two chunks that meet there). `jump`: the mean of e_b over the clip's
    boundaries, 0 to 255; `seams`: the share of boundaries with e_b > 1.

    The largest step inside, not the mean: a codec that joins frames in time changes the picture unevenly inside a chunk, too.
    Even motion, a still picture and steady noise give 0. Refused: a clip that was not made in chunks of two or more frames or
    has only one, and a caption that changes, since what a late switch changes comes at a boundary.
    """

    name: ClassVar[str] = "chunk_jumps"
    # the margins: half of what counts as a seam; one boundary in twenty
    outputs: ClassVar[Mapping[str, Output]] = {
        "jump": Output("grey levels", -1, 0.5, title="Jump between chunks"),
        "seams": Output("share of boundaries", -1, 0.05, title="Boundaries that stand out"),
    }
    detects: ClassVar[tuple[str, ...]] = ("seams",)
    ignores: ClassVar[tuple[str, ...]] = ("brighten", "mirror", "reverse", "noise", "blur", "freeze")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        caption(clip.prompt)
        if clip.chunk < 2 or len(features.pixels) <= clip.chunk:
            made = f"{len(features.pixels)} frames in chunks of {clip.chunk}" if clip.chunk else "all its frames at once"
            raise ValueError(f"jumps are seen between chunks of two frames or more, and the clip was made with {made}")
        found = excess(features.pixels, clip.chunk)
        return {"jump": float(found.mean()), "seams": float((found > VISIBLE).mean())}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "visible": VISIBLE}

    @classmethod
    def examples(cls) -> list[Clip]:
        """True clips of two seconds and a half, still and moving, as if made in chunks of four frames."""
        world = ShapesWorld()
        prompts = world.prompts("validation")[:24]
        return [ArrayClip(p, 0, v, world.fps, chunk=4) for p, v in zip(prompts, world.render(prompts, 0, 20), strict=True)]


def excess(pixels: np.ndarray, chunk: int) -> np.ndarray:
    """e_b of every boundary of a clip, uint8 (T, H, W, C), in chunks of `chunk` frames: (boundaries,) in grey levels."""
    steps = np.abs(np.diff(pixels.astype(np.int16), axis=0)).mean((1, 2, 3), dtype=np.float64)  # steps[t] leads to frame t + 1
    found = []
    for b in range(chunk, len(pixels), chunk):
        inside = np.concatenate([steps[b - chunk : b - 1], steps[b : b + chunk - 1]])
        found.append(max(0.0, steps[b - 1] - inside.max()))
    return np.array(found)
