"""What a clip of the embedded world shows, read from its pixels without a network, and which words of a caption that bears out.

The pixels are unmixed into the scene and four colours; a colour's cover is compared with the three shapes at its own centre and
area. Nothing is fitted to model output: the thresholds are half-way between what the world draws, widened for codec blur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from salt_bench.types import Prompt
from salt_bench.worlds.base import changes
from salt_bench.worlds.shapes import COLOURS, MOTIONS, RELATIONS, SCENES, SHAPES, SIZES, coverage

ATTRIBUTES = ("shape", "colour", "size", "motion", "scene", "count", "relation")

_VISIBLE = 12.0  # pixels of cover under which a colour is not an object
_SPECK = 5  # pixels under which a connected part is blur, not a second object
_MISFIT = 0.42  # share of the area by which cover and template may differ; a doubled or broken shape differs by more
_SPLIT = np.sqrt(SIZES["small"] * SIZES["big"])  # the area half-way between small and big, on a logarithmic scale
_MOVED, _STILL, _STRAIGHT = 2.5, 1.5, 0.9  # pixels over the whole clip; root mean square distance from a straight, even track
_PALETTE = np.array(list(COLOURS.values()), np.float32)
_SCENES = np.array(list(SCENES.values()), np.float32)  # (scene, top/bottom, RGB)


@dataclass(frozen=True, eq=False)
class Thing:
    """One object as it was read; None is "nothing that this world draws"."""

    colour: str
    shape: str | None
    size: str | None
    motion: str | None
    centre: np.ndarray
    whole: bool


@dataclass(frozen=True, eq=False)
class Reading:
    scene: str | None
    things: tuple[Thing, ...]


def caption(prompt: Prompt) -> Mapping[str, str]:
    """The factors of a prompt that has one caption; a ValueError for one that changes."""
    if changes(prompt):
        raise ValueError(f"the caption changes at frame {changes(prompt)[0]}, and this judge reads one: use prompt_switch")
    return prompt.factors


def compare(found: Reading, asked: Mapping[str, str]) -> dict[str, bool]:
    """Which attributes of `asked` (a prompt's factors) the reading bears out. Objects are matched by colour; a wrong, doubled,
    broken or missing one makes its shape, size and motion wrong."""
    colours = [asked["colour"]] + ([asked["colour2"]] if asked["count"] == "2" else [])
    shapes = [asked["shape"]] + ([asked["shape2"]] if asked["count"] == "2" else [])
    things = _match(found.things, colours)
    right = {
        "shape": all(t is not None and t.whole and t.shape == s for t, s in zip(things, shapes, strict=True)),
        "colour": sorted(t.colour for t in found.things) == sorted(colours),
        "size": all(t is not None and t.size == asked["size"] for t in things),
        "motion": all(t is not None and t.motion == asked["motion"] for t in things),
        "scene": found.scene == asked["scene"],
        "count": len(found.things) == len(colours) and all(t.whole for t in found.things),
    }
    if asked["count"] == "2":
        right["relation"] = _related(things, asked["relation"])
    return right


def _match(things: Sequence[Thing], colours: Sequence[str]) -> list[Thing | None]:
    """A thing for each colour: its own, else one that no asked colour claims: a wrong colour costs the colour alone."""
    spare = [t for t in things if t.colour not in colours]
    own = {t.colour: t for t in things}
    return [own[c] if c in own else (spare.pop(0) if spare else None) for c in colours]


def _related(things: Sequence[Thing | None], relation: str) -> bool:
    first, second = things
    if first is None or second is None:
        return False
    way = np.array(RELATIONS[relation])
    gap = second.centre - first.centre
    return bool(gap @ way > 3.0 and gap @ way > np.abs(gap).min())


def read(pixels: np.ndarray) -> Reading:
    """What a clip, uint8 (T, H, W, 3), shows."""
    video = pixels.astype(np.float32)
    scene_rows = np.median(video[:, :, [0, -1]].swapaxes(0, 1).reshape(video.shape[1], -1, 3), axis=1)  # (H, 3)
    covers = unmix(video, scene_rows)
    area = covers.sum((2, 3))  # (colours, T)
    things = [_thing(name, covers[i]) for i, name in enumerate(COLOURS) if np.median(area[i]) >= _VISIBLE]
    return Reading(_scene(scene_rows), tuple(things))


def unmix(video: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """Cover of each colour, (colours, T, H, W) in [0, 1]. Every pixel is scene + cover·(colour - scene) for the one colour
    whose line through colour space passes nearest."""
    delta = video - scene[:, None]
    lines = _PALETTE[:, None] - scene  # (colours, H, 3)
    squared = np.maximum((lines**2).sum(-1), 1.0)  # a scene may have a colour of the palette
    cover = np.einsum("thwc,khc->kthw", delta, lines, optimize=True) / squared[:, None, :, None]
    inside = np.clip(cover, 0, 1.1)
    # |delta - inside·line|² without the (k, T, H, W, 3) array
    miss = (delta**2).sum(-1) + inside * (inside - 2 * cover) * squared[:, None, :, None]
    nearest = miss.argmin(0)
    inside[inside < 0.15] = 0
    return np.where(np.arange(len(lines))[:, None, None, None] == nearest, np.minimum(inside, 1), 0)


def _scene(rows: np.ndarray) -> str | None:
    ends = np.stack([rows[:2].mean(0), rows[-2:].mean(0)])
    distance = np.sqrt(((_SCENES - ends) ** 2).mean((1, 2)))
    return list(SCENES)[int(distance.argmin())] if distance.min() < 28 else None


def _thing(colour: str, cover: np.ndarray) -> Thing:
    area = cover.sum((1, 2))
    seen = area > _VISIBLE / 2
    xs, ys = np.arange(cover.shape[2]) + 0.5, np.arange(cover.shape[1]) + 0.5
    mass = np.maximum(area, 1e-6)
    track = np.stack([(cover.sum(1) @ xs) / mass, (cover.sum(2) @ ys) / mass], 1)
    shape, misfit = _shape(cover, track, area)
    whole = bool(seen.mean() > 0.8 and _single(cover) and misfit < _MISFIT)
    size = _size(float(np.median(area)))
    return Thing(colour, shape, size, _motion(track[seen], len(area)) if whole else None, track[seen].mean(0), whole)


def _shape(cover: np.ndarray, track: np.ndarray, area: np.ndarray) -> tuple[str, float]:
    """The best of the three shapes at the cover's own centre and area, and how far it is from that, as a share of the area."""
    side = np.sqrt(area)[:, None, None].astype(np.float32)
    height, width = cover.shape[1:]
    drawn = np.stack([coverage(s, track[:, 0], track[:, 1], side, height, width) for s in SHAPES])
    away = np.abs(_blur(drawn) - _blur(cover)).sum((2, 3)) / np.maximum(area, 1e-6)  # (shapes, T)
    misfit = np.median(away, axis=1)
    return SHAPES[int(misfit.argmin())], float(misfit.min())


def _blur(cover: np.ndarray) -> np.ndarray:
    """(1, 2, 1)/4 both ways: a codec's blur weighs less beside it."""
    for axis in (-1, -2):
        near = 0.5 * cover
        rolled = np.roll(near, 1, axis) + np.roll(near, -1, axis)
        cover = near + 0.5 * rolled
    return cover


def _single(cover: np.ndarray) -> bool:
    """One connected part in at least four of five frames."""
    plane = np.zeros((3, 3, 3), int)
    plane[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # frames are not connected with each other
    labels, n = ndimage.label(cover > 0.4, plane)
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    times = np.broadcast_to(np.arange(len(cover))[:, None, None], cover.shape)
    first = ndimage.minimum(times, labels, range(1, n + 1))
    frames = np.asarray(first, int)[sizes >= _SPECK]
    return bool((np.bincount(frames, minlength=len(cover)) == 1).mean() >= 0.8)


def _size(area: float) -> str | None:
    if not SIZES["small"] * 0.5 < area < SIZES["big"] * 1.5:
        return None
    return "small" if area < _SPLIT else "big"


def _motion(track: np.ndarray, frames: int) -> str | None:
    """The way that a straight, even track goes; None for one that bends, jumps or only creeps."""
    time = np.linspace(-0.5, 0.5, len(track))
    travel = (time @ track) / (time @ time) * (len(track) / frames)
    bend = np.sqrt(((track - track.mean(0) - time[:, None] * travel) ** 2).sum(1).mean())
    if bend > _STRAIGHT:
        return None
    if np.abs(travel).max() < _STILL:
        return "still"
    along, across = np.abs(travel).max(), np.abs(travel).min()
    if along < _MOVED or across > 0.5 * along:
        return None
    way = tuple(int(v) for v in np.where(np.abs(travel) == along, np.sign(travel), 0))
    return next((name for name, step in MOTIONS.items() if step == way), None)
