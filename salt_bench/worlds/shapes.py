"""The embedded world "Shapes": one or two coloured shapes that move over a scene.

Everything that a caption says can be read back from the pixels without a network (`salt_bench.judges.shared.reading`), so a
claim about a few-step model can be decided on a laptop. Nuisance (place, speed, exact size, brightness) is drawn per (prompt,
seed).

In a video that is longer than the world's, what stands still goes on standing still. What moves turns back after every
`frames` frames, at another speed each time, so that it stays inside the frame and never comes round to the same film again.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from salt_bench import record
from salt_bench.rng import Draws
from salt_bench.types import Prompt
from salt_bench.worlds.base import changes

SHAPES = ("square", "triangle", "cross")
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (225, 35, 40),
    "green": (30, 170, 60),
    "blue": (45, 80, 235),
    "yellow": (245, 215, 40),
}
SCENES: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {  # colour of the top and of the bottom row
    "night": ((18, 20, 36), (18, 20, 36)),
    "fog": ((128, 130, 132), (128, 130, 132)),
    "snow": ((222, 228, 234), (222, 228, 234)),
    "dusk": ((70, 45, 110), (205, 150, 165)),
}
SCENE_WORDS = {"night": "at night", "fog": "in the fog", "snow": "over snow", "dusk": "at dusk"}
SIZES: Mapping[str, float] = {"small": 30.0, "big": 84.0}  # area in pixels
MOTIONS: Mapping[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
MOTION_WORDS = {way: f"moving {way}" for way in ("left", "right", "up", "down")} | {"still": "standing still"}
RELATIONS: Mapping[str, tuple[int, int]] = {  # direction from the first to the second object
    "left of": (1, 0),
    "right of": (-1, 0),
    "above": (0, 1),
    "below": (0, -1),
}
CONVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

# Half extents (left/right, up, down) of a shape of area 1 around its centroid; the triangle is equilateral and points up.
# A circle is not among them: of 6 pixels it differs from a square by a ninth of its area, and a tiny teacher never told them
# apart.
_TRIANGLE = (4 / 3**0.5) ** 0.5  # side of the unit-area equilateral triangle
_ARM = 5**-0.5  # width of the arms of the unit-area cross, which is three of them long
EXTENT = {
    "square": (0.5, 0.5, 0.5),
    "triangle": (_TRIANGLE / 2, _TRIANGLE / 3**0.5, _TRIANGLE / 3**0.5 / 2),
    "cross": (1.5 * _ARM, 1.5 * _ARM, 1.5 * _ARM),
}


def distance(shape: str, x: np.ndarray, y: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Signed distance in pixels (negative inside) to the edge of a shape of area `side`² at the origin; y points down."""
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.5 * side
    if shape == "triangle":
        inradius = EXTENT["triangle"][2] * side
        return np.maximum(y, np.abs(x) * (3**0.5 / 2) - y * 0.5) - inradius
    if shape == "cross":
        along, across = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
        return np.maximum(along - 1.5 * _ARM * side, across - 0.5 * _ARM * side)
    raise ValueError(f"a shape is one of {', '.join(SHAPES)}, got {shape!r}")


@dataclass(frozen=True)
class ShapesWorld:
    """24×24 pixels, 12 frames at 8 per second unless said otherwise."""

    frames: int = 12
    height: int = 24
    width: int = 24
    fps: float = 8.0

    name: ClassVar[str] = "shapes"
    margin: ClassVar[float] = 1.0  # objects never touch the border, so that the border is always scene
    splits: ClassVar[Mapping[str, tuple[int, int]]] = {"validation": (48, 80), "test": (192, 320)}  # prompts with 1, 2 objects

    def __post_init__(self) -> None:
        record.at_least(self, frames=1, height=22, width=22)  # two triangles side by side, their gap and the margins take 21.5
        record.positive(self, "fps")

    def prompts(self, split: str) -> tuple[Prompt, ...]:
        splits = _splits()
        if split not in splits:
            raise ValueError(f"a split is one of {', '.join(splits)}, got {split!r}")
        return splits[split]

    def batch(self, draws: Draws, size: int) -> list[Prompt]:
        """Training prompts, two in five with a single object: there are few of those, and they alone show both sizes."""
        rng = draws.generator()
        kinds = _by_count()
        chosen = [kinds[int(rng.random() < 0.6)] for _ in range(size)]
        return [kind[int(rng.integers(len(kind)))] for kind in chosen]

    def endless(self, prompt: Prompt) -> bool:
        return prompt.factors["motion"] == "still"  # whatever moves must stop or turn at the border

    def vocabulary(self) -> tuple[str, ...]:
        return _vocabulary()

    def parts(self, prompt: Prompt) -> tuple[tuple[int, Prompt], ...]:
        if not changes(prompt):
            return ((0, prompt),)
        return tuple((frame, _named(prompt.factors[str(frame)])) for frame in (0, *changes(prompt)))

    def slots(self, prompt: Prompt) -> tuple[Mapping[str, str], ...]:
        if changes(prompt):
            raise ValueError(f"slots are those of one caption, and {prompt.id!r} has several: ask for its parts() one by one")
        f = prompt.factors
        first = {"object": "first", "colour": f["colour"], "shape": f["shape"], "size": f["size"]}
        if f["count"] == "1":
            return ({"scene": f["scene"]}, {"motion": f["motion"]}, {"count": "1"}, first, {"object": "none"})
        second = {"object": "second", "colour": f["colour2"], "shape": f["shape2"], "size": f["size"]}
        return (
            {"scene": f["scene"]},
            {"motion": f["motion"]},
            {"count": "2"},
            first | {"place": f["relation"]},
            second | {"place": CONVERSE[f["relation"]]},
        )

    def render(self, prompts: Sequence[Prompt], seed: int, frames: int | None = None) -> np.ndarray:
        """As the protocol says; from the frame of a switch on, it is the new caption's own video from its first frame."""
        length = self.frames if frames is None else frames
        if length < 1:
            raise ValueError(f"a video has at least one frame, got {length}")
        video = self._plain([self.parts(p)[0][1] for p in prompts], seed, length)
        later = [(i, *part) for i, p in enumerate(prompts) for part in self.parts(p)[1:] if part[0] < length]
        for (i, first, _), new in zip(later, self._plain([p for *_, p in later], seed, length), strict=True):
            video[i, first:] = new[: length - first]
        return video

    def _plain(self, prompts: Sequence[Prompt], seed: int, length: int) -> np.ndarray:
        """The videos of prompts with one caption each."""
        some = max(1, 64 * 12 // length)  # 64 clips of 12 frames stay in the cache of a core
        parts = [prompts[i : i + some] for i in range(0, len(prompts), some)]
        empty = np.empty((0, length, self.height, self.width, 3), np.uint8)
        return np.concatenate([empty, *(self._render(part, seed, length) for part in parts)])

    def _render(self, prompts: Sequence[Prompt], seed: int, length: int) -> np.ndarray:
        layouts = [self._layout(p, Draws(seed)("shapes", p.id), length) for p in prompts]
        video = np.stack([layout.background for layout in layouts])[:, None].repeat(length, 1)  # (N, T, H, 1, 3)
        video = video.repeat(self.width, 3)
        for shape in SHAPES:  # one signed distance field per kind of shape, for all clips at once
            chosen = [(i, o) for i, layout in enumerate(layouts) for o in layout.objects if o.shape == shape]
            for part in _unique_owners(chosen):
                self._paint(video, shape, part)
        return np.round(video).astype(np.uint8)

    def _paint(self, video: np.ndarray, shape: str, chosen: Sequence[tuple[int, _Object]]) -> None:
        owner = np.array([i for i, _ in chosen])
        track = np.stack([o.track for _, o in chosen])  # (M, T, 2)
        side = np.array([o.side for _, o in chosen], np.float32)[:, None, None, None]
        colour = np.array([o.colour for _, o in chosen], np.float32)[:, None, None, None, :]
        cover = coverage(shape, track[..., 0], track[..., 1], side, self.height, self.width)[..., None]
        video[owner] += cover * (colour - video[owner])

    def _layout(self, prompt: Prompt, draws: Draws, length: int) -> _Layout:
        rng, f = draws.generator(), prompt.factors
        top, bottom = (np.array(c, np.float32) for c in SCENES[f["scene"]])
        ramp = np.linspace(0, 1, self.height, dtype=np.float32)[:, None, None]
        background = np.clip((top + ramp * (bottom - top)) * rng.uniform(0.92, 1.08), 0, 255)
        shapes, colours = (_pair(f, "shape"), _pair(f, "colour"))
        sides = [np.sqrt(SIZES[f["size"]] * rng.uniform(0.92, 1.08)) for _ in shapes]
        boxes = [_box(shape, side) for shape, side in zip(shapes, sides, strict=True)]
        offsets = _offsets(boxes, f.get("relation"), rng)
        way = self._track(np.array(MOTIONS[f["motion"]]), boxes, offsets, rng)
        track = way.lengthened(length, draws("turns").generator())  # its own draws: a longer video begins with the shorter one
        objects = tuple(
            _Object(shape, np.array(COLOURS[colour], np.float32) * rng.uniform(0.95, 1.04), side, track + offset)
            for shape, colour, side, offset in zip(shapes, colours, sides, offsets, strict=True)
        )
        return _Layout(background, objects)

    def _track(self, way: np.ndarray, boxes: list[np.ndarray], offsets: np.ndarray, rng: np.random.Generator) -> _Track:
        """The way of the group's origin for the first `frames` frames: straight, even, and inside the frame."""
        low = np.max([box[0] - o for box, o in zip(boxes, offsets, strict=True)], axis=0) + self.margin
        reach = np.max([box[1] + o for box, o in zip(boxes, offsets, strict=True)], axis=0)
        high = np.array([self.width, self.height]) - self.margin - reach
        room = high - low
        travel = way * np.minimum(room, rng.uniform(0.75, 1.0) * np.minimum(room, 11.0))
        start = low + np.maximum(-travel, 0) + rng.uniform(size=2) * (room - np.abs(travel))
        time = np.linspace(0, 1, self.frames)[:, None]
        return _Track(start + time * travel, way, low, high)


@dataclass(frozen=True, eq=False)
class _Track:
    """`places` (T, 2) x, y of a group that goes the `way` (2,) and stays between `low` and `high` (2,)."""

    places: np.ndarray
    way: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def lengthened(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """(length, 2) float32: after every T frames it turns back and goes up to 11 pixels in the next T, from frame to frame
        alike; a turn repeats no frame."""
        legs, way, frames = [self.places], self.way, len(self.places)
        while len(legs) * frames < length:
            way, here = -way, legs[-1][-1]
            room = np.abs(np.where(way > 0, self.high, self.low) - here)
            travel = way * rng.uniform(0.75, 1.0) * np.minimum(room, 11.0)
            legs.append(here + np.arange(1, frames + 1)[:, None] / frames * travel)
        return np.concatenate(legs)[:length].astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Object:
    shape: str
    colour: np.ndarray
    side: float
    track: np.ndarray


@dataclass(frozen=True, eq=False)
class _Layout:
    background: np.ndarray
    objects: tuple[_Object, ...]


def coverage(
    shape: str, x: np.ndarray, y: np.ndarray, side: np.ndarray, height: int, width: int, soft: float = 1.0
) -> np.ndarray:
    """How much of each pixel a shape covers, (..., H, W) in [0, 1]: centres `x`, `y` (...), `side` broadcastable to
    (..., 1, 1); the edge is a ramp of `soft` pixels."""
    columns = np.arange(width, dtype=np.float32) + 0.5 - x[..., None, None].astype(np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5 - y[..., None, None].astype(np.float32)
    return np.clip(0.5 - distance(shape, columns, rows, side) / soft, 0, 1)


def _pair(factors: Mapping[str, str], name: str) -> list[str]:
    return [factors[name]] + ([factors[name + "2"]] if factors["count"] == "2" else [])


def _box(shape: str, side: float) -> np.ndarray:
    """[[left, up], [right, down]] extents in pixels around the centroid."""
    across, up, down = EXTENT[shape]
    return np.array([[across, up], [across, down]]) * side


def _offsets(boxes: list[np.ndarray], relation: str | None, rng: np.random.Generator) -> np.ndarray:
    """(objects, 2): where each object's centroid stands relative to the first's."""
    if relation is None:
        return np.zeros((1, 2))
    way = np.array(RELATIONS[relation])
    axis = int(np.argmax(np.abs(way)))
    near, far = (boxes[0][1], boxes[1][0]) if way.sum() > 0 else (boxes[0][0], boxes[1][1])
    gap = near[axis] + far[axis] + rng.uniform(1.2, 2.2)
    sideways = np.array([1 - axis == 0, axis == 0]) * rng.uniform(-1.5, 1.5)
    return np.stack([np.zeros(2), way * gap + sideways])


def _unique_owners(chosen: list[tuple[int, _Object]]) -> list[list[tuple[int, _Object]]]:
    """Splits the objects so that no clip comes twice in one part: a fancy-indexed `+=` would drop the second."""
    first: dict[int, tuple[int, _Object]] = {}
    second = []
    for item in chosen:
        if item[0] in first:
            second.append(item)
        else:
            first[item[0]] = item
    return [part for part in (list(first.values()), second) if part]


@cache
def _vocabulary() -> tuple[str, ...]:
    values: dict[str, Sequence[str]] = {
        "scene": list(SCENES),
        "motion": list(MOTIONS),
        "count": ["1", "2"],
        "object": ["first", "second", "none"],
        "colour": list(COLOURS),
        "shape": SHAPES,
        "size": list(SIZES),
        "place": list(RELATIONS),
    }
    return tuple(f"{name}={value}" for name, options in values.items() for value in options)


@cache
def _splits() -> dict[str, tuple[Prompt, ...]]:
    """All prompts, dealt once. Singles and pairs are shuffled by name, so a prompt's split never depends on the others' texts.

    (colour, shape, scene) triples in `_UNSEEN` occur in test prompts alone, tagged "unseen"."""
    dealt: dict[str, list[Prompt]] = {"train": [], "validation": [], "test": []}
    for position, prompts in enumerate((_singles(), _pairs())):
        order = sorted(prompts, key=lambda p: Draws(0)("split", p.id).uniform())
        order.sort(key=lambda p: "unseen" not in p.tags)  # stable: the unseen ones first, into the test split
        unseen = sum("unseen" in p.tags for p in order)
        test, validation = ShapesWorld.splits["test"][position], ShapesWorld.splits["validation"][position]
        order = order[: min(unseen, test // 4)] + order[unseen:]  # unseen triples beyond a quarter of the test are left out
        dealt["test"] += order[:test]
        dealt["validation"] += order[test : test + validation]
        dealt["train"] += order[test + validation :]
    return {
        split: tuple(
            Prompt(p.id, p.text, p.world, p.factors, p.tags | {split})
            for p in sorted(found, key=lambda p: Draws(0)("order", p.id).uniform())
        )
        for split, found in dealt.items()
    }


def _named(name: str) -> Prompt:
    """The prompt that is called `name`."""
    if name not in _names():
        raise ValueError(f"no prompt {name!r} in this world: a switch joins prompts that prompts() lists")
    return _names()[name]


@cache
def _names() -> dict[str, Prompt]:
    return {prompt.id: prompt for split in _splits().values() for prompt in split}


@cache
def _by_count() -> tuple[list[Prompt], list[Prompt]]:
    train = _splits()["train"]
    return [p for p in train if p.factors["count"] == "1"], [p for p in train if p.factors["count"] == "2"]


_UNSEEN = (("red", "triangle", "snow"), ("blue", "cross", "dusk"), ("yellow", "square", "night"), ("green", "cross", "fog"))


def _singles() -> list[Prompt]:
    found = []
    for shape, colour, size, motion, scene in itertools.product(SHAPES, COLOURS, SIZES, MOTIONS, SCENES):
        factors = {"count": "1", "shape": shape, "colour": colour, "size": size, "motion": motion, "scene": scene}
        found.append(_prompt(("1", size, colour, shape, motion, scene), factors))
    return found


def _pairs() -> list[Prompt]:
    found = []
    kinds = list(itertools.product(COLOURS, SHAPES))
    for first, second, relation, motion, scene in itertools.product(kinds, kinds, RELATIONS, MOTIONS, SCENES):
        (colour, shape), (colour2, shape2) = first, second
        if colour == colour2:  # two objects differ in colour, so that each can be told from the other
            continue
        names = {"shape": shape, "colour": colour, "shape2": shape2, "colour2": colour2, "relation": relation}
        factors = {"count": "2", "size": "small", "motion": motion, "scene": scene} | names
        found.append(_prompt(("2", colour, shape, relation, colour2, shape2, motion, scene), factors))
    return found


def sentence(factors: Mapping[str, str]) -> str:
    """The caption that says the `factors` of one plain prompt."""
    f = factors
    first = f"a {f['size']} {f['colour']} {f['shape']}"
    rest = f"{MOTION_WORDS[f['motion']]} {SCENE_WORDS[f['scene']]}"
    if f["count"] == "1":
        return f"{first} {rest}"
    return f"{first} {f['relation']} a {f['size']} {f['colour2']} {f['shape2']}, both {rest}"


def _prompt(words: tuple[str, ...], factors: Mapping[str, str]) -> Prompt:
    objects = {(factors["colour"], factors["shape"]), (factors.get("colour2"), factors.get("shape2"))}
    unseen = any((*o, factors["scene"]) in _UNSEEN for o in objects)
    name = "-".join(words).replace(" of", "")
    return Prompt("shapes:" + name, sentence(factors), "shapes", factors, frozenset({"unseen"}) if unseen else frozenset())
