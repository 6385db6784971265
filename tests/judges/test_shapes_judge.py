"""The exact judge: change one thing in the picture, and exactly what it is about is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.corruptions import corrupt
from salt_bench.judges.shapes import ShapesJudge
from salt_bench.judges.shared.reading import ATTRIBUTES, read, unmix
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.shapes import COLOURS, CONVERSE, MOTIONS, RELATIONS, SCENES, SHAPES, SIZES, ShapesWorld

WORLD = ShapesWorld()
SINGLE = {"count": "1", "shape": "square", "colour": "red", "size": "big", "motion": "left", "scene": "fog"}
PAIR = {
    "count": "2",
    "shape": "square",
    "colour": "red",
    "shape2": "triangle",
    "colour2": "blue",
    "relation": "left of",
    "size": "small",
    "motion": "up",
    "scene": "night",
}
SEEDS = range(6)


def prompt(factors: Mapping[str, str]) -> Prompt:
    return Prompt("shapes:test", "", "shapes", factors)


def wrong(asked: Mapping[str, str], shown: Mapping[str, str] | np.ndarray, seed: int = 0) -> set[str]:
    """The attributes that the judge finds wrong in a video of `shown` for the caption `asked`."""
    video = shown if isinstance(shown, np.ndarray) else WORLD.render([prompt(shown)], seed)[0]
    clip = ArrayClip(prompt(asked), seed, video)
    found = ShapesJudge()(clip, Features(clip))
    parts = {k: v for k, v in found.items() if k != "accuracy"}
    assert set(parts) == set(ATTRIBUTES) - ({"relation"} if asked["count"] == "1" else set())
    assert found["accuracy"] == pytest.approx(np.mean(list(parts.values())))
    assert set(parts.values()) <= {0.0, 1.0}
    return {k for k, v in parts.items() if v == 0}


OTHERS = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "motion": MOTIONS, "scene": SCENES}
CHANGES = [(name, value) for name, values in OTHERS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_single_object_that_differs_in_one_thing(name: str, value: str) -> None:
    expected = set() if SINGLE[name] == value else {name}
    assert all(wrong(SINGLE, SINGLE | {name: value}, seed) == expected for seed in SEEDS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, set()),
        ({"shape": "cross"}, {"shape"}),
        ({"shape2": "square"}, {"shape"}),
        ({"colour": "green"}, {"colour"}),
        ({"colour2": "yellow"}, {"colour"}),
        ({"motion": "down"}, {"motion"}),
        ({"motion": "still"}, {"motion"}),
        ({"scene": "dusk"}, {"scene"}),
        ({"relation": "right of"}, {"relation"}),
        ({"relation": "above"}, {"relation"}),
        ({"relation": "below", "scene": "snow"}, {"relation", "scene"}),
    ],
    ids=lambda value: "-".join(sorted(value)) or "nothing",  # a set's own order changes between processes
)
def test_a_pair_that_differs_in_one_thing(change: dict[str, str], expected: set[str]) -> None:
    assert all(wrong(PAIR, PAIR | change, seed) == expected for seed in SEEDS)


def test_swapped_colours_are_a_wrong_binding() -> None:
    """All colours and shapes are there, on the wrong objects: shape and place are wrong, the set of colours is not."""
    swapped = PAIR | {"colour": PAIR["colour2"], "colour2": PAIR["colour"]}
    assert all(wrong(PAIR, swapped, seed) == {"shape", "relation"} for seed in SEEDS)


def test_swapped_shapes_are_a_wrong_shape_alone() -> None:
    swapped = PAIR | {"shape": PAIR["shape2"], "shape2": PAIR["shape"]}
    assert all(wrong(PAIR, swapped, seed) == {"shape"} for seed in SEEDS)


def test_the_converse_caption_is_as_true() -> None:
    said = PAIR | {
        "shape": PAIR["shape2"],
        "colour": PAIR["colour2"],
        "shape2": PAIR["shape"],
        "colour2": PAIR["colour"],
        "relation": CONVERSE[PAIR["relation"]],
    }
    assert all(wrong(said, PAIR, seed) == set() for seed in SEEDS)
    assert set(CONVERSE) == set(RELATIONS)


def test_a_missing_object() -> None:
    alone = {k: v for k, v in PAIR.items() if not k.endswith("2") and k != "relation"} | {"count": "1"}
    for seed in SEEDS:
        assert wrong(PAIR, alone, seed) == {"shape", "colour", "size", "motion", "count", "relation"}
        assert wrong(alone, PAIR, seed) == {"colour", "count"}  # the one that was asked for is there, and right


def test_an_empty_scene() -> None:
    video = WORLD.render([prompt(SINGLE)], 0)[0]
    empty = np.broadcast_to(video[:1, :, :1], video.shape).copy()
    assert wrong(SINGLE, empty) == {"shape", "colour", "size", "motion", "count"}
    assert read(empty).things == ()


def doubled(video: np.ndarray) -> np.ndarray | None:
    """A second copy ten pixels beside the object; None where there is no room for it."""
    mask = (np.abs(video.astype(int) - video[:, :, :1]) > 0).any((0, 3))
    columns = np.flatnonzero(mask.any(0))
    shift = 10 if columns[-1] + 10 < WORLD.width - 1 else -10
    if not 0 < columns[0] + shift <= columns[-1] + shift < WORLD.width - 1:
        return None
    moved = np.roll(mask, shift, 1)
    return np.where(moved[None, :, :, None], np.roll(video, shift, 2), video)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_doubled_object_is_no_object(shape: str) -> None:
    asked = SINGLE | {"size": "small", "motion": "still", "shape": shape}
    videos = [doubled(WORLD.render([prompt(asked)], seed)[0]) for seed in range(30)]
    found = [wrong(asked, video) for video in videos if video is not None]
    assert len(found) >= 5
    assert all(f == {"shape", "size", "motion", "count"} for f in found)  # together they have the area of a big one


@pytest.mark.parametrize("shape", SHAPES)
def test_a_broken_object_is_no_object(shape: str) -> None:
    asked = SINGLE | {"shape": shape}
    for seed in SEEDS:
        found = wrong(asked, corrupt("break_apart", WORLD.render([prompt(asked)], seed)[0], seed=seed))
        assert {"shape", "motion", "count"} <= found
        assert "scene" not in found


def test_an_object_that_vanishes_is_not_whole() -> None:
    for seed in SEEDS:
        video = corrupt("vanish", WORLD.render([prompt(SINGLE)], seed)[0], seed=seed)
        assert {"shape", "motion", "count"} <= wrong(SINGLE, video)


def test_time_backwards_is_a_wrong_motion_alone() -> None:
    for seed in SEEDS:
        video = WORLD.render([prompt(SINGLE)], seed)[0]
        assert wrong(SINGLE, video[::-1]) == {"motion"}
        assert wrong(SINGLE | {"motion": "right"}, video[::-1]) == set()
        assert wrong(SINGLE, np.repeat(video[:1], len(video), 0)) == {"motion"}
        assert wrong(SINGLE, video[[0, 11, 1, 10, 2, 9, 3, 8, 4, 7, 5, 6]]) == {"motion"}


def test_a_mirror_turns_what_has_a_side() -> None:
    for seed in SEEDS:
        assert wrong(SINGLE, WORLD.render([prompt(SINGLE)], seed)[0][:, :, ::-1]) == {"motion"}
        assert wrong(PAIR, WORLD.render([prompt(PAIR)], seed)[0][:, :, ::-1]) == {"relation"}
        assert "shape" in wrong(PAIR, WORLD.render([prompt(PAIR)], seed)[0][:, ::-1])  # the triangle points down


def test_a_reading_has_the_places_of_its_things() -> None:
    for seed in SEEDS:
        video = WORLD.render([prompt(PAIR)], seed)[0]
        found = read(video)
        assert found.scene == "night"
        red, blue = sorted(found.things, key=lambda t: t.centre[0])
        assert (red.colour, red.shape, blue.colour, blue.shape) == ("red", "square", "blue", "triangle")
        assert all((t.size, t.motion, t.whole) == ("small", "up", True) for t in found.things)
        reds = (np.abs(video.astype(int) - COLOURS["red"]).sum(-1) < 60).any(0)
        assert red.centre[0] == pytest.approx(np.nonzero(reds)[1].mean() + 0.5, abs=0.6)


def test_unmixing_finds_each_pixels_share() -> None:
    scene = np.full((4, 3), 100.0, np.float32)
    video = np.broadcast_to(scene[:, None], (1, 4, 5, 3)).copy()
    video[0, 1, 2] = 0.25 * 100 + 0.75 * np.array(COLOURS["yellow"])
    cover = unmix(video, scene)
    assert cover.shape == (4, 1, 4, 5)
    assert cover[list(COLOURS).index("yellow"), 0, 1, 2] == pytest.approx(0.75, abs=1e-4)
    assert cover.sum() == pytest.approx(0.75, abs=1e-4)


def test_the_memo_is_read_once() -> None:
    clip = ArrayClip(prompt(SINGLE), 0, WORLD.render([prompt(SINGLE)], 0)[0])
    memo = Features(clip)
    ShapesJudge()(clip, memo)
    black = replace(clip, pixels=np.zeros_like(clip.pixels))
    assert ShapesJudge()(black, memo)["accuracy"] == 1
    assert ShapesJudge()(black, Features(black))["accuracy"] < 0.5
