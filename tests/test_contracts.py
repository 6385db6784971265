"""One battery for every judge and every set judge: a new file in the packages is tested the moment it exists.

A judge is tried on `examples.gallery()`. One whose clips must come from a world defines the class method
`examples() -> list[Clip]`, and is tried on those.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from salt_bench import judges, record, setjudges
from salt_bench.judges.base import Features, Judge
from salt_bench.judges.corruptions import CORRUPTIONS, corrupt
from salt_bench.judges.examples import gallery
from salt_bench.setjudges.base import SetJudge
from salt_bench.types import ArrayClip, Clip, Output

Values = dict[str, float | None]


def classes(package: ModuleType, base: type) -> Iterator[type]:
    """Every concrete subclass of `base` that a module of `package` defines."""
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        for cls in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(cls) and cls.__module__ == module.name and issubclass(cls, base) and not inspect.isabstract(cls):
                yield cls


JUDGES = sorted(classes(judges, Judge), key=lambda cls: cls.name)
SETJUDGES = sorted(classes(setjudges, SetJudge), key=lambda cls: cls.name)
every_judge = pytest.mark.parametrize("cls", JUDGES, ids=lambda cls: cls.name)
every_setjudge = pytest.mark.parametrize("cls", SETJUDGES, ids=lambda cls: cls.name)


def examples(cls: type) -> list[Clip]:
    return cls.examples() if hasattr(cls, "examples") else list(gallery())


def judged(judge: Judge, clips: Sequence[Clip]) -> list[Values]:
    return [judge(clip, Features(clip)) for clip in clips]


def damaged(clips: Sequence[Clip], name: str) -> list[Clip]:
    films = [corrupt(name, clip.frames(), seed=n) for n, clip in enumerate(clips)]
    return [ArrayClip(c.prompt, c.seed, film, c.fps, c.nfe, c.chunk) for c, film in zip(clips, films, strict=True)]


def changes(judge: Judge, clean: Sequence[Values], other: Sequence[Values]) -> dict[str, tuple[float, float]]:
    """For each part: its mean change, positive where it got better, and the margin, both in the part's unit."""
    found = {}
    for part, output in judge.outputs.items():
        pairs = [(a[part], b[part]) for a, b in zip(clean, other, strict=True) if part in a and part in b]
        before, after = np.array(pairs, dtype=float).T
        margin = (output.margin or 0.0) * (abs(before.mean()) if output.relative else 1.0)
        found[part] = ((after - before).mean() * (output.better or 1), margin)
    return found


def assert_detects(judge: Judge, clips: Sequence[Clip], name: str) -> None:
    moved = changes(judge, judged(judge, clips), judged(judge, damaged(clips, name)))
    worse = [part for part, (change, margin) in moved.items() if judge.outputs[part].better and change < -margin]
    assert worse, f"{judge.name} says that it detects {name}, but no output got worse by more than its margin: {moved}"


def assert_ignores(judge: Judge, clips: Sequence[Clip], name: str) -> None:
    moved = changes(judge, judged(judge, clips), judged(judge, damaged(clips, name)))
    fooled = {part: pair for part, pair in moved.items() if abs(pair[0]) > pair[1] + 1e-12}
    assert not fooled, f"{judge.name} says that it ignores {name}, but (change, margin) is {fooled}"


def test_there_are_judges_and_their_names_are_theirs_alone() -> None:
    names = [cls.name for cls in (*JUDGES, *SETJUDGES)]
    assert len(JUDGES) >= 6
    assert len(SETJUDGES) >= 2
    assert len(set(names)) == len(names)


@every_judge
def test_judge_returns_what_it_declares(cls: type[Judge]) -> None:
    judge, seen = cls(), set()
    for values in judged(judge, examples(cls)):
        assert set(values) <= set(judge.outputs)
        assert all(value is not None and math.isfinite(value) for value in values.values()), values
        assert all(type(value) in (float, int) for value in values.values()), "a table holds plain numbers"
        seen |= set(values)
    assert seen == set(judge.outputs), "the examples must show every declared output"


@every_judge
def test_judge_is_deterministic_and_leaves_the_clip_alone(cls: type[Judge]) -> None:
    clip = examples(cls)[0]
    pixels = clip.frames().copy()
    pixels.setflags(write=False)
    frozen, shared = ArrayClip(clip.prompt, clip.seed, pixels, clip.fps, clip.nfe, clip.chunk), Features(clip)
    fresh = cls()(clip, Features(clip))
    for other in JUDGES:
        if not hasattr(other, "examples"):
            other()(clip, shared)
    assert cls()(clip, shared) == fresh == cls()(frozen, Features(frozen))


@every_judge
def test_judge_declares_sound_outputs_and_a_protocol(cls: type[Judge]) -> None:
    judge = cls()
    assert judge.outputs
    assert all(output.better in (-1, 0, 1) and output.unit and (output.margin or 0) >= 0 for output in judge.outputs.values())
    assert set(judge.detects) | set(judge.ignores) <= set(CORRUPTIONS)
    assert judge.detects, "a judge that detects nothing judges nothing"
    assert judge.protocol()["judge"] == judge.name
    assert record.load(record.dump(judge)) == judge
    record.text(judge.protocol())


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls in JUDGES for name in cls.detects])
def test_judge_detects(cls: type[Judge], name: str) -> None:
    assert_detects(cls(), examples(cls), name)


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls in JUDGES for name in cls.ignores])
def test_judge_ignores(cls: type[Judge], name: str) -> None:
    assert_ignores(cls(), examples(cls), name)


class Backwards(Judge):
    """The darkest judge: it calls a brighter clip worse, and says the opposite of itself."""

    name: ClassVar[str] = "backwards"
    outputs: ClassVar[dict[str, Output]] = {"score": Output("grey levels", +1, 1.0)}

    def __call__(self, clip: Clip, features: Features) -> Values:
        return {"score": float(features.pixels.mean())}


def test_the_battery_refuses_a_flipped_sign_and_a_false_indifference() -> None:
    assert_detects(Backwards(), gallery(), "darken")
    with pytest.raises(AssertionError, match="no output got worse"):
        assert_detects(Backwards(), gallery(), "brighten")
    with pytest.raises(AssertionError, match="ignores brighten"):
        assert_ignores(Backwards(), gallery(), "brighten")


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    clips, memos = gallery(), [Features(clip) for clip in gallery()]
    return {cls.name: np.stack([cls().feature(c, m) for c, m in zip(clips, memos, strict=True)]) for cls in SETJUDGES}


@every_setjudge
def test_setjudge_returns_what_it_declares(cls: type[SetJudge], vectors: dict[str, Any]) -> None:
    judge, points = cls(), vectors[cls.name]
    assert points.dtype == np.float64
    assert points.ndim == 2
    values = judge.compare(points[:5], points)
    assert set(values) == set(judge.outputs)
    assert all(type(value) is float and math.isfinite(value) for value in values.values())
    assert judge.protocol()["judge"] == judge.name
    assert record.load(record.dump(judge)) == judge
    record.text(judge.protocol())


@every_setjudge
def test_setjudge_sees_sets_not_orders(cls: type[SetJudge], vectors: dict[str, Any]) -> None:
    judge, points = cls(), vectors[cls.name]
    once = judge.compare(points[:5], points)
    assert judge.compare(points[:5], points) == once
    assert judge.compare(points[4::-1], points[::-1]) == pytest.approx(once, rel=1e-6)


@every_setjudge
def test_setjudge_calls_one_clip_repeated_worse_than_the_truth(cls: type[SetJudge], vectors: dict[str, Any]) -> None:
    judge, points = cls(), vectors[cls.name]
    truth, collapsed = judge.compare(points, points), judge.compare(np.repeat(points[:1], len(points), 0), points)
    for part, output in judge.outputs.items():
        assert not output.better or (collapsed[part] - truth[part]) * output.better < 0  # type: ignore[operator]


@every_setjudge
def test_setjudge_of_a_single_clip_is_no_number(cls: type[SetJudge], vectors: dict[str, Any]) -> None:
    points = vectors[cls.name]
    assert set(cls().compare(points[:1], points).values()) == {None}
