"""The embedded world: who may see which prompt, and videos that show exactly what they say."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from salt_bench import record
from salt_bench.judges.base import Features
from salt_bench.judges.shapes import ShapesJudge
from salt_bench.judges.shared.reading import read
from salt_bench.rng import Draws
from salt_bench.samplers.truth import Truth
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.base import changes, switch
from salt_bench.worlds.shapes import COLOURS, CONVERSE, RELATIONS, SHAPES, SIZES, ShapesWorld, coverage
from salt_train.codecs import pca

WORLD = ShapesWorld()
UNSEEN = {("red", "triangle", "snow"), ("blue", "cross", "dusk"), ("yellow", "square", "night"), ("green", "cross", "fog")}


@cache
def sample(count: int = 200) -> tuple[Prompt, ...]:
    """Prompts from all splits, test prompts with unseen triples among them."""
    return tuple(p for split in ("train", "validation", "test") for p in WORLD.prompts(split)[: count // 3 + 1])[:count]


def triples(prompt: Prompt) -> set[tuple[str, str, str]]:
    f = prompt.factors
    objects = [(f["colour"], f["shape"])] + ([(f["colour2"], f["shape2"])] if f["count"] == "2" else [])
    return {(*o, f["scene"]) for o in objects}


def test_splits_are_disjoint_and_of_their_sizes() -> None:
    splits = {name: WORLD.prompts(name) for name in ("train", "validation", "test")}
    for ids in ([p.id for s in splits.values() for p in s], [p.text for s in splits.values() for p in s]):
        assert len(set(ids)) == len(ids)
    counts = {name: Counter(p.factors["count"] for p in splits[name]) for name in ("validation", "test")}
    assert counts == {"validation": {"1": 48, "2": 80}, "test": {"1": 192, "2": 320}}
    assert len(splits["train"]) > 5000
    assert all(name in p.tags and p.world == "shapes" for name, split in splits.items() for p in split)


def test_unseen_triples_are_in_the_test_alone() -> None:
    for name in ("train", "validation"):
        assert not any(triples(p) & UNSEEN for p in WORLD.prompts(name))
    test = WORLD.prompts("test")
    assert {t for p in test for t in triples(p) & UNSEEN} == UNSEEN
    assert all(("unseen" in p.tags) == bool(triples(p) & UNSEEN) for p in test)
    assert Counter(p.factors["count"] for p in test if "unseen" in p.tags) == {"1": 40, "2": 320 // 4}


def test_the_order_is_fixed() -> None:
    """Prompts are for ever: whoever changes them, changes every published number."""
    assert [p.id for p in WORLD.prompts("test")[:3]] == [
        "shapes:2-blue-triangle-below-yellow-cross-right-night",
        "shapes:2-blue-square-left-red-cross-left-dusk",
        "shapes:2-blue-cross-above-yellow-cross-still-snow",
    ]
    assert WORLD.prompts("test") == ShapesWorld().prompts("test")


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="a split is one of train, validation, test, got 'tset'"):
        WORLD.prompts("tset")


def test_training_batches_come_from_training_prompts() -> None:
    train = {p.id for p in WORLD.prompts("train")}
    batch = WORLD.batch(Draws(0)("prompts"), 2000)
    assert {p.id for p in batch} <= train
    assert WORLD.batch(Draws(0)("prompts"), 2000) == batch
    assert WORLD.batch(Draws(1)("prompts"), 2000) != batch
    assert np.mean([p.factors["count"] == "1" for p in batch]) == pytest.approx(0.4, abs=0.03)


def test_a_video_is_its_prompts_and_seeds_whatever_the_batch() -> None:
    prompts = sample()[:70]
    whole = WORLD.render(prompts, 3)
    assert whole.shape == (70, 12, 24, 24, 3)
    assert whole.dtype == np.uint8
    assert np.array_equal(whole, WORLD.render(prompts, 3))
    assert np.array_equal(whole[::-1], WORLD.render(prompts[::-1], 3))
    assert np.array_equal(whole[66:67], WORLD.render(prompts[66:67], 3))
    other = WORLD.render(prompts, 4)
    assert all(not np.array_equal(a, b) for a, b in zip(whole, other, strict=True))


@pytest.mark.parametrize("world", [WORLD, ShapesWorld(frames=7, height=32, width=40)], ids=["24", "32x40"])
def test_objects_stay_inside_the_frame(world: ShapesWorld) -> None:
    """The outermost pixels are scene in every frame; only the soft tip of a triangle may colour one of them, faintly."""
    prompts = sample(400)
    video = world.render(prompts, 0).astype(int)
    assert video.shape[1:] == (world.frames, world.height, world.width, 3)
    scene = np.median(video[:, :, :, [0, -1]], axis=(1, 3), keepdims=True)  # (N, 1, H, 1, 3)
    away = np.abs(video - scene).max(-1)
    edges = np.concatenate([away[:, :, 0], away[:, :, -1], away[:, :, :, 0], away[:, :, :, -1]], 2)
    pointed = np.array(["triangle" in p.text for p in prompts])
    assert edges[~pointed].max() == 0
    assert edges[pointed].max() < 60  # of 255
    assert (edges[pointed] > 0).mean() < 0.005
    assert (away.max((2, 3)) > 60).all()  # and there is something in every frame


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_shape_has_the_area_and_the_centre_that_it_says(shape: str, size: str) -> None:
    side = np.sqrt(SIZES[size]) * np.ones((1, 1))
    cover = coverage(shape, np.array([12.3]), np.array([11.8]), side, 24, 24)[0]
    assert cover.sum() == pytest.approx(SIZES[size], rel=0.04)
    place = np.arange(24) + 0.5
    assert cover.sum(0) @ place / cover.sum() == pytest.approx(12.3, abs=0.1)
    assert cover.sum(1) @ place / cover.sum() == pytest.approx(11.8, abs=0.15)


def test_a_triangle_points_up() -> None:
    cover = coverage("triangle", np.array([12.0]), np.array([12.0]), np.full((1, 1), 9.0), 24, 24)[0]
    widths = cover.sum(1)[cover.sum(1) > 0.5]
    assert np.all(np.diff(widths[1:-1]) > 0)
    with pytest.raises(ValueError, match="a shape is one of square, triangle, cross, got 'circle'"):
        coverage("circle", np.array([12.0]), np.array([12.0]), np.full((1, 1), 9.0), 24, 24)


def test_captions_cover_the_vocabulary_and_nothing_else() -> None:
    words = WORLD.vocabulary()
    assert len(set(words)) == len(words)
    slots = [WORLD.slots(p) for p in WORLD.prompts("train")]
    assert {f"{k}={v}" for tokens in slots for token in tokens for k, v in token.items()} == set(words)
    assert {len(tokens) for tokens in slots} == {5}


def test_captions_tell_prompts_apart() -> None:
    for split in ("train", "validation", "test"):
        seen = [str([sorted(token.items()) for token in WORLD.slots(p)]) for p in WORLD.prompts(split)]
        assert len(set(seen)) == len(seen)


def test_both_objects_know_where_they_stand() -> None:
    pair = next(p for p in WORLD.prompts("test") if p.factors.get("relation") == "left of")
    first, second = WORLD.slots(pair)[3:]
    assert (first["object"], first["place"], first["colour"]) == ("first", "left of", pair.factors["colour"])
    assert (second["object"], second["place"], second["colour"]) == ("second", "right of", pair.factors["colour2"])
    assert all(np.array_equal(np.array(RELATIONS[r]), -np.array(RELATIONS[c])) for r, c in CONVERSE.items())


def accuracy(prompts: tuple[Prompt, ...], videos: np.ndarray) -> dict[str, float]:
    judge, rows = ShapesJudge(), []
    for prompt, video in zip(prompts, videos, strict=True):
        clip = ArrayClip(prompt, 0, video)
        rows.append(judge(clip, Features(clip)))
    parts = {part for row in rows for part in row}
    return {part: float(np.mean([row[part] for row in rows if part in row])) for part in parts}


def test_every_factor_can_be_read_back() -> None:
    assert accuracy(sample(), WORLD.render(sample(), 0)) == dict.fromkeys(ShapesJudge.outputs, 1.0)


def test_every_factor_survives_the_codec() -> None:
    """The ceiling of any model that draws latents: at least 99 of 100 attributes."""
    codec = pca.fit(pca.PCACodec(WORLD, clips=256))
    frames = torch.from_numpy(WORLD.render(sample(), 0))
    found = accuracy(sample(), codec.decode(codec.encode(frames)).numpy())
    assert found["accuracy"] >= 0.99, found


def test_nuisance_is_drawn_and_the_caption_says_nothing_of_it() -> None:
    prompt = next(p for p in WORLD.prompts("test") if p.factors["count"] == "1" and p.factors["motion"] == "still")
    videos = np.concatenate([WORLD.render([prompt], seed) for seed in range(24)])
    things = [read(video).things for video in videos]
    places = np.array([t.centre for (t,) in things])
    assert places.std(0).min() > 1.5
    assert accuracy((prompt,) * 24, videos)["accuracy"] == 1
    assert {t.colour for (t,) in things} == {prompt.factors["colour"]} <= set(COLOURS)


BACK = {"left": "right", "right": "left", "up": "down", "down": "up", "still": "still"}


def test_a_longer_video_begins_with_the_shorter_one() -> None:
    prompts = sample()[:70]
    long = WORLD.render(prompts, 0, 61)
    assert long.shape == (70, 61, 24, 24, 3)
    assert np.array_equal(long[:, :12], WORLD.render(prompts, 0))
    assert np.array_equal(long[:, :40], WORLD.render(prompts, 0, 40))
    assert np.array_equal(long[:, :5], WORLD.render(prompts, 0, 5))
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        WORLD.render(prompts, 0, 0)


def test_what_stands_still_stands_still_for_ever() -> None:
    still = [p for p in WORLD.prompts("test") if p.factors["motion"] == "still"][:32]
    video = WORLD.render(still, 0, 240)
    assert np.array_equal(video, video[:, :1].repeat(240, 1))
    assert accuracy(tuple(still), video) == dict.fromkeys(ShapesJudge.outputs, 1.0)


def test_what_moves_turns_back_after_every_window_and_never_stops() -> None:
    """Each window of the world's length shows the caption's motion, or the opposite one in every second window."""
    moving = [p for p in sample() if p.factors["motion"] != "still"]
    video = WORLD.render(moving, 0, 48)
    assert (np.diff(video.astype(int), axis=1) != 0).any((2, 3, 4)).all()
    for window in range(4):
        turned = [
            Prompt(p.id, "", "shapes", {**p.factors, "motion": BACK[p.factors["motion"]]} if window % 2 else p.factors)
            for p in moving
        ]
        found = accuracy(tuple(turned), video[:, 12 * window : 12 * window + 12])
        assert found.pop("motion") > 0.98
        assert found.pop("accuracy") > 0.99
        assert set(found.values()) == {1.0}


def test_objects_stay_inside_a_long_video() -> None:
    video = WORLD.render([p for p in sample(400) if "triangle" not in p.text], 0, 72).astype(int)
    scene = np.median(video[:, :, :, [0, -1]], axis=(1, 3), keepdims=True)
    away = np.abs(video - scene).max(-1)
    assert max(away[:, :, [0, -1]].max(), away[:, :, :, [0, -1]].max()) == 0


def pair() -> tuple[Prompt, Prompt]:
    test = WORLD.prompts("test")
    return next(p for p in test if p.factors["motion"] == "left"), next(p for p in test if "unseen" in p.tags)


def test_a_switch_is_the_one_video_and_then_the_other() -> None:
    before, after = pair()
    both = switch(before, after, 17)
    assert WORLD.parts(before) == ((0, before),)
    assert WORLD.parts(both) == ((0, before), (17, after))
    assert (changes(before), changes(both)) == ((), (17,))
    assert both.tags == {"test", "unseen"}
    video, plain = WORLD.render([before, both, after], 3, 40)[1], WORLD.render([before, after], 3, 40)
    assert np.array_equal(video[:17], plain[0][:17])
    assert np.array_equal(video[17:], plain[1][:23])
    assert np.array_equal(WORLD.render([both], 3)[0], plain[0][:12])  # it ends before the caption changes
    assert record.load(record.dump(dict(both.factors))) == both.factors


def test_a_switch_joins_two_plain_prompts_of_the_world() -> None:
    before, after = pair()
    both = switch(before, after, 12)
    for broken in ((both, after, 30), (before, both, 30), (before, after, 0)):
        with pytest.raises(ValueError, match="two plain prompts of one world at frame 1 or later"):
            switch(*broken)
    with pytest.raises(ValueError, match=r"has several: ask for its parts\(\)"):
        WORLD.slots(both)
    with pytest.raises(ValueError, match="no prompt 'shapes:nowhere' in this world"):
        WORLD.parts(switch(before, Prompt("shapes:nowhere", "", "shapes"), 12))


def test_the_truth_is_as_long_as_asked_and_its_old_identity_stays() -> None:
    prompts = sample()[:3]
    clips = list(Truth(WORLD, frames=30, chunk=6).sampler(0, Path())(prompts, 0))
    assert [(len(c.frames()), c.chunk, c.nfe) for c in clips] == [(30, 6, 0)] * 3
    assert np.array_equal(clips[1].frames(), WORLD.render(prompts, 0, 30)[1])
    (clip, *_) = Truth(WORLD).sampler(0, Path())(prompts, 0)
    assert (len(clip.frames()), clip.chunk) == (12, 0)
    assert (Truth(WORLD).protocol(), Truth(WORLD, 30, 6).protocol()) == ({}, {"frames": 30, "chunk": 6})
