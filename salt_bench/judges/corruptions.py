"""Known damage, by name: uint8 clips (T, H, W, C) to uint8 clips of the same shape, each the same for the same seed.

A judge's `detects` and `ignores` are names of `CORRUPTIONS`. Some of them do no harm at all (`brighten`, `mirror`,
`reverse`): they are what a judge must not care about.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from salt_bench.judges.shared.subject import background, split
from salt_bench.rng import Draws

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def corrupt(name: str, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    """The clip `pixels`, uint8 (T, H, W, C), with the damage called `name`; the input is not changed."""
    if name not in CORRUPTIONS:
        near = difflib.get_close_matches(name, CORRUPTIONS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(CORRUPTIONS)}"
        raise ValueError(f"no corruption {name!r}; {hint}")
    return CORRUPTIONS[name](pixels, Draws(seed, ("corruption", name)).generator())


def flicker(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each frame brighter or darker by about 8 grey levels."""
    return _film(pixels + rng.choice((-1.0, 1.0), (len(pixels), 1, 1, 1)) * rng.uniform(5, 11, (len(pixels), 1, 1, 1)))


def jitter(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each frame shifted by up to 4% of the shorter side (at least a pixel) in both directions; edges wrap."""
    reach = max(1, round(0.04 * min(pixels.shape[1:3])))
    return np.stack([np.roll(frame, rng.integers(-reach, reach + 1, 2), (0, 1)) for frame in pixels])


def noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise of 10 grey levels, new in every frame."""
    return _film(pixels + 10.0 * rng.standard_normal(pixels.shape))


def freeze(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first frame, for ever."""
    return np.repeat(pixels[:1], len(pixels), axis=0)


def stutter(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every second frame repeats the one before it."""
    return pixels[np.arange(len(pixels)) // 2 * 2]


def shuffle_frames(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frames in a random order."""
    return pixels[rng.permutation(len(pixels))]


def reverse(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frames backwards."""
    return pixels[::-1].copy()


def mirror(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left and right exchanged."""
    return pixels[:, :, ::-1].copy()


def blur(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur of 5% of the shorter side (1.2 pixels of 24)."""
    sigma = 0.05 * min(pixels.shape[1:3])
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma).reshape(frame.shape) for frame in pixels])


def brighten(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole clip brighter by 15 grey levels."""
    return _film(pixels + 15.0)


def darken(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The whole clip at 80% of its brightness."""
    return _film(pixels * 0.8)


def color_flip(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The subject changes colour half-way: its channels move round by one or two places."""
    film, middle = pixels.copy(), len(pixels) // 2
    mask = split(pixels[middle:]).mask
    film[middle:][mask] = np.roll(film[middle:][mask], int(rng.integers(1, 3)), axis=-1)
    return film


def background_drift(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The scene's colour, not the subject's, drifts by 60 grey levels in one channel and back by 60 in another."""
    change = rng.permutation([60.0, -60.0, 0.0])
    ramp = np.linspace(0.0, 1.0, len(pixels))[:, None, None, None]
    return np.where(split(pixels).mask[..., None], pixels, _film(pixels + ramp * change))


def hard_cut(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half-way the clip becomes another one: upside down, with its channels exchanged."""
    middle = len(pixels) // 2
    return np.concatenate([pixels[:middle], np.roll(pixels[middle:, ::-1], 1, axis=-1)])


def double(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A second copy of the subject, half a frame away in both directions; edges wrap."""
    found = split(pixels)
    moved = (pixels.shape[1] // 2, pixels.shape[2] // 2)
    film, mask = (np.roll(part, moved, (1, 2)) for part in (pixels, found.mask))
    return np.where(mask[..., None], film, pixels)


def break_apart(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower half of the frame slides sideways by a quarter of it through the subject's middle, which is cut in two."""
    found, film = split(pixels), pixels.copy()
    for frame, mask, scene in zip(film, found.mask, found.scene, strict=True):
        rows = np.flatnonzero(mask.any(1))
        if len(rows):
            middle, reach = (rows[0] + rows[-1] + 1) // 2, frame.shape[1] // 4
            frame[middle:] = np.roll(frame[middle:], reach, axis=1)
            frame[middle - 1] = np.rint(scene[middle - 1])
    return film


def vanish(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The subject is painted over from half-way on."""
    film, middle = pixels.copy(), len(pixels) // 2
    film[middle:] = background(film[middle:], split(film[middle:]))
    return film


def fade(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture loses its contrast evenly over time: 90% of it by the last frame, around the first frame's mean colour."""
    grey = pixels[0].mean((0, 1))
    kept = np.linspace(1.0, 0.1, len(pixels))[:, None, None, None]
    return _film(grey + kept * (pixels - grey))


def defocus(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur that grows evenly from nothing to 10% of the shorter side."""
    widths = np.linspace(0.0, 0.1 * min(pixels.shape[1:3]), len(pixels))[1:]
    blurred = [cv2.GaussianBlur(frame, (0, 0), sigma) for frame, sigma in zip(pixels[1:], widths, strict=True)]
    return np.stack([pixels[0], *(frame.reshape(pixels.shape[1:]) for frame in blurred)])


def seams(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every second stretch of four frames is darker or brighter by 8 to 16 grey levels: the picture jumps every four frames."""
    level = rng.choice((-1.0, 1.0)) * rng.uniform(8, 16)
    return _film(pixels + (level * (np.arange(len(pixels)) // 4 % 2))[:, None, None, None])


def frozen_tail(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From half-way on, the same frame."""
    return pixels[np.minimum(np.arange(len(pixels)), len(pixels) // 2)]


def lag(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Everything comes too late, by a third of the clip; until then, the first frame."""
    return pixels[np.maximum(np.arange(len(pixels)) - len(pixels) // 3, 0)]


def loop(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first third, again and again."""
    return pixels[np.arange(len(pixels)) % max(1, len(pixels) // 3)]


def _film(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)


CORRUPTIONS: Mapping[str, Corruption] = {
    function.__name__: function
    for function in (
        flicker, jitter, noise, freeze, stutter, shuffle_frames, reverse, mirror,
        blur, brighten, darken, color_flip, background_drift, hard_cut, double, break_apart, vanish,
        fade, defocus, seams, frozen_tail, lag, loop,
    )
}  # fmt: skip
