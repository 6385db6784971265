"""What a clip of the embedded world looks like to its text-video model: one pass per clip, for all judges of captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from salt_bench.judges.base import Features
from salt_bench.judges.shared.reading import caption
from salt_bench.types import ArrayClip, Clip, Prompt
from salt_bench.worlds.shapes import ShapesWorld


@dataclass(frozen=True, eq=False)
class Seen:
    """Unit vectors, float64: of the whole `video` (64,), and of four evenly spaced `frames` (4, 64), each standing still."""

    video: np.ndarray
    frames: np.ndarray


def seen(features: Features) -> Seen:
    """A clip of fewer than four frames shows some of them twice."""
    return features.get("semantic", lambda: _seen(features.pixels))


def read(words: str) -> np.ndarray:
    """The unit vector, float64 (64,), of a caption or of a phrase of one."""
    from salt_bench.judges.networks.shapes_clip import text

    return text(words).astype(np.float64)


def asked(prompt: Prompt) -> Prompt:
    """The prompt itself; a ValueError for one whose caption changes."""
    caption(prompt)
    return prompt


def protocol() -> dict[str, object]:
    """What two judgements must share to be comparable."""
    from salt_bench.judges.networks.shapes_clip import FRAMES, WEIGHTS_SHA256

    return {"network": "Shapes CLIP", "weights": WEIGHTS_SHA256, "frames": FRAMES}


def examples() -> list[Clip]:
    """True clips of what moves, on which the corruptions that these judges declare are checked."""
    world = ShapesWorld()
    prompts = [p for p in world.prompts("validation") if p.factors["motion"] != "still"][:24]
    return [ArrayClip(p, 0, v, world.fps) for p, v in zip(prompts, world.render(prompts, 0), strict=True)]


def _seen(pixels: np.ndarray) -> Seen:
    from salt_bench.judges.networks.shapes_clip import FRAMES, videos

    four = pixels[np.linspace(0, len(pixels) - 1, FRAMES).round().astype(int)]
    still = four[:, None].repeat(FRAMES, 1)
    found = videos(np.concatenate([four[None], still])).astype(np.float64)
    return Seen(found[0], found[1:])
