"""Clips per core-second of everything between a prompt and a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from table import Figure, note, rate

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.appearance import appearance
from salt_bench.judges.shared.motion import motion
from salt_bench.setjudges.summary import summary
from salt_bench.suites.shapes import JUDGES, SEMANTIC_JUDGES
from salt_bench.types import ArrayClip, Clip
from salt_bench.worlds.shapes import ShapesWorld
from salt_train.flow import even
from salt_train.methods.shapes import CODEC, SHIFT
from salt_train.methods.teacher import teacher
from salt_train.recipe import Recipe
from salt_train.sampler import FlowSampler

GOALS = {"renderer": 1000.0, "judge shapes": 200.0, "judges of captions, together": 100.0}


def measure(benchmark: Any, name: str, work: Callable[[], object], items: int, calls: int = 5) -> None:
    found = benchmark.pedantic(lambda: rate(work, items, calls), rounds=1)
    note(Figure(name, found, "clips/core-s", GOALS.get(name)))
    assert found > 0


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    world = ShapesWorld()
    prompts = world.prompts("test")[:32]
    return [ArrayClip(p, 0, v, world.fps) for p, v in zip(prompts, world.render(prompts, 0), strict=True)]


def test_renderer(benchmark: Any) -> None:
    world = ShapesWorld()
    prompts = world.prompts("test")[:256]
    measure(benchmark, "renderer", lambda: world.render(prompts, 0), len(prompts))


@pytest.mark.parametrize("guidance", [1.0, 2.0], ids=["student", "guided"])
def test_sampler(benchmark: Any, root: Path, guidance: float) -> None:
    recipe: Recipe = teacher().at(even(4, SHIFT))
    recipe = replace(recipe, sampling=replace(recipe.sampling, guidance=guidance))
    sampler, prompts = FlowSampler.load(recipe, root), ShapesWorld().prompts("test")[:64]
    measure(benchmark, f"sampler, 4 steps, {sampler.nfe} NFE", lambda: list(sampler(prompts, 0)), len(prompts), calls=3)


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.name)
def test_judge(benchmark: Any, judge: Judge, clips: list[Clip]) -> None:
    measure(benchmark, f"judge {judge.name}", lambda: [judge(c, Features(c)) for c in clips], len(clips), calls=3)


def test_judges_of_captions(benchmark: Any, clips: list[Clip]) -> None:
    def work() -> None:
        for clip in clips:
            features = Features(clip)
            for judge in SEMANTIC_JUDGES:
                judge(clip, features)

    measure(benchmark, "judges of captions, together", work, len(clips), calls=3)


def test_all_judges_of_a_clip_share_its_features(benchmark: Any, clips: list[Clip]) -> None:
    def work() -> None:
        for clip in clips:
            features = Features(clip)
            for judge in JUDGES:
                judge(clip, features)

    measure(benchmark, "all judges together", work, len(clips), calls=3)


@pytest.mark.parametrize("part", [appearance, motion], ids=["appearance", "motion"])
def test_shared_part(benchmark: Any, part: Callable[[Features], object], clips: list[Clip]) -> None:
    names = {"appearance": "network part: appearance features", "motion": "flow part: motion"}
    measure(benchmark, names[part.__name__], lambda: [part(Features(c)) for c in clips], len(clips), calls=3)


def test_summary(benchmark: Any, clips: list[Clip]) -> None:
    measure(benchmark, "set judges: summary of a clip", lambda: [summary(c, Features(c)) for c in clips], len(clips), calls=3)


def test_codec(benchmark: Any, root: Path, clips: list[Clip]) -> None:
    import torch

    from salt_train import codecs

    codec, frames = codecs.fitted(CODEC, root), torch.from_numpy(ShapesWorld().render([c.prompt for c in clips], 0))
    measure(benchmark, "codec, there and back", lambda: codec.decode(codec.encode(frames)), len(clips))
