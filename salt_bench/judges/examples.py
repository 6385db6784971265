"""Small clips whose motion, colours and scene are known: what judges are tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from salt_bench.types import ArrayClip, Prompt

_GRAIN = 4  # sub-pixels per pixel and axis: edges are antialiased, so that half a pixel of motion is visible


def moving_shape(
    shape: str = "square",
    *,
    size: float = 9.0,
    start: tuple[float, float] = (7.0, 8.0),
    velocity: tuple[float, float] = (0.6, 0.9),
    colour: Sequence[int] = (210, 60, 50),
    scene: Sequence[Sequence[int]] = ((60, 90, 160), (90, 120, 190)),
    frames: int = 12,
    side: int = 24,
) -> ArrayClip:
    """A flat shape that moves straight over a vertical gradient; uint8 (frames, side, side, 3).

    `size` is the diameter in pixels, `start` the (y, x) of the centre in frame 0, `velocity` its (y, x) pixels per frame,
    `scene` the colours of the top and bottom rows.
    """
    ramp = np.linspace(0.0, 1.0, side)[:, None, None]
    back = (1.0 - ramp) * np.asarray(scene[0], float) + ramp * np.asarray(scene[1], float)
    cover = np.stack([_cover(shape, size, start[0] + t * velocity[0], start[1] + t * velocity[1], side) for t in range(frames)])
    film = back + cover[..., None] * (np.asarray(colour, float) - back)
    text = f"a {shape} moves by {velocity} pixels per frame"
    return ArrayClip(Prompt(f"{shape}-{velocity[0]}-{velocity[1]}", text, "examples"), 0, np.rint(film).astype(np.uint8))


def _cover(shape: str, size: float, y: float, x: float, side: int) -> np.ndarray:
    """The share of each pixel that the shape covers: float (side, side) in [0, 1]."""
    grid = (np.arange(side * _GRAIN) + 0.5) / _GRAIN
    dy, dx = np.abs(grid - y)[:, None], np.abs(grid - x)[None, :]
    inside = {"square": np.maximum(dy, dx), "circle": np.hypot(dy, dx), "diamond": (dy + dx) / 1.25}
    if shape not in inside:
        raise ValueError(f"a shape is one of {', '.join(inside)}, got {shape!r}")
    return (inside[shape] <= size / 2).reshape(side, _GRAIN, side, _GRAIN).mean((1, 3))


def gallery() -> list[ArrayClip]:
    """Nine clips: three shapes at a slow, a medium and a fast speed, each with its own colours."""
    speeds = ((0.4, 0.5), (0.7, -0.9), (-0.3, 1.2))
    colours = ((210, 60, 50), (70, 190, 80), (230, 200, 60))
    scenes = (((60, 90, 160), (90, 120, 190)), ((150, 150, 150), (150, 150, 150)), ((40, 40, 60), (80, 60, 90)))
    starts = ((7.0, 7.0), (8.0, 17.0), (14.0, 6.5))
    return [
        moving_shape(shape, start=starts[k], velocity=speeds[k], colour=colours[(k + n) % 3], scene=scenes[(k + 2 * n) % 3])
        for n, shape in enumerate(("square", "circle", "diamond"))
        for k in range(3)
    ]
