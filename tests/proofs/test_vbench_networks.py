"""The networks of VBench against numbers of the official code, on pseudo-random weights at full size.

The weights are written once, into the folder that SALT_VBENCH_FIXTURE names or a temporary one; 3 GB in all.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from salt_bench.judges.vbench import kinetics
from salt_bench.judges.vbench.base import Dimension, Found, Judged, Pass, Video
from salt_bench.judges.vbench.human_action import HumanAction, UmtPass
from salt_bench.judges.vbench.imaging_quality import ImagingQuality
from salt_bench.judges.vbench.motion_smoothness import MotionSmoothness
from salt_bench.judges.vbench.overall_consistency import OverallConsistency
from salt_bench.judges.vbench.temporal_style import TemporalStyle

SHARED = Path(__file__).parents[2] / "../shared"
FIXTURE = SHARED / "fixtures/vbench"
SEED = 11
pytestmark = pytest.mark.skipif(not FIXTURE.is_dir(), reason=f"no fixtures beside the checkout, at {FIXTURE}")


@cache
def expected() -> dict[str, Any]:
    return json.loads((FIXTURE / "expected_public.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("SALT_VBENCH_FIXTURE")
    return Path(named) if named else tmp_path_factory.mktemp("weights")


def written(folder: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes sure that the weight file of `model` is in `folder`."""
    if (folder / expected()["weights"][model]["file"]).is_file():
        return
    arguments = ["make_weights.py", "--seed", str(SEED), "--out", str(folder), "--models", model]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(FIXTURE / "make_weights.py"), run_name="__main__")


@cache
def decoded(name: str) -> np.ndarray:
    with av.open(str(FIXTURE / "videos_public" / name)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def video(name: str) -> Video:
    frames, facts = decoded(name), expected()["videos"][name]
    count, height, width, _ = frames.shape
    return Video(Path(name), count, height, width, facts["fps"], text=name.removesuffix("-0.mp4"))


def blocks(name: str, one: Pass, seen: Video) -> Iterator[np.ndarray]:
    """The frames that the pass asks for, in uneven blocks."""
    chosen = one.chosen(seen)
    frames = decoded(name) if chosen is None else decoded(name)[list(chosen)]
    return (frames[start : start + 7] for start in range(0, len(frames), 7))


def found(one: Pass, name: str) -> Found:
    seen = video(name)
    running = one.start(seen)
    for block in blocks(name, one, seen):
        if not running.take(block):
            break
    return running.result()


def judged(dimension: Dimension, folder: Path, names: list[str]) -> dict[str, tuple[Judged, dict[type[Pass], Found]]]:
    passes = {kind: kind(folder) for kind in dimension.passes}
    every = {name: {kind: found(one, name) for kind, one in passes.items()} for name in names}
    return {name: (dimension(video(name), seen), seen) for name, seen in every.items()}


def agree(dimension: Dimension, results: dict[str, tuple[Judged, dict[type[Pass], Found]]]) -> None:
    """Every video and the set within the fixture's tolerance, and how far off they are."""
    wanted = expected()["dimensions"][dimension.name]
    tolerance = wanted["tolerance"]
    one = 0.0 if tolerance["score"] == "exact" else tolerance["score"]
    assert set(results) == set(wanted["videos"])
    gaps = {name: float(result.value) - float(wanted["videos"][name]["score"]) for name, (result, _) in results.items()}
    values = [float(result.value) for result, _ in results.values()]
    weights = [result.weight for result, _ in results.values()]
    whole = dimension.scale * float(np.average(values, weights=weights)) - wanted["dataset_score"]
    print(f"\n{dimension.name}: off by at most {max(map(abs, gaps.values())):.2g}, the set by {abs(whole):.2g}")
    assert all(abs(gap) <= one for gap in gaps.values()), gaps
    assert abs(whole) <= tolerance.get("dataset_score", one)


def names(dimension: str) -> list[str]:
    return list(expected()["dimensions"][dimension]["videos"])


def test_imaging_quality(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "musiq", monkeypatch)
    agree(ImagingQuality(), judged(ImagingQuality(), folder, names("imaging_quality")))


def test_human_action(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "umt_l16", monkeypatch)
    labels = folder / f"{kinetics.FILE}.gz"
    if not labels.is_file():
        shutil.copy(SHARED / "data/vbench/kinetics_400_categories.txt.gz", labels)
    results = judged(HumanAction(), folder, names("human_action"))
    agree(HumanAction(), results)
    wanted = expected()["dimensions"]["human_action"]
    tolerance = wanted["tolerance"]["probabilities"]
    for name, (_, found) in results.items():
        facts, seen = wanted["videos"][name], found[UmtPass]
        gaps = [*(seen["probabilities"][:8] - facts["prob_first8"]), seen["probabilities"].mean() - facts["prob_mean"]]
        assert np.abs(gaps).max() <= tolerance
        assert [str(label) for label in seen["labels"]] == [label for label, _, _ in facts["top8"]]
        numbers = [number for _, number, _ in facts["top8"]]
        top = [value for _, _, value in facts["top8"]]
        print(f"{name}: probabilities off by at most {np.abs(seen['values'] - top).max():.2g}")
        np.testing.assert_allclose(seen["values"], top, rtol=0, atol=tolerance)
        np.testing.assert_array_equal(seen["values"], seen["probabilities"][numbers])
        for other, right in facts["renamed"]:
            assert HumanAction()(replace(video(name), path=Path(other)), found).value == right


def test_overall_consistency_and_temporal_style(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "viclip", monkeypatch)
    results = judged(OverallConsistency(), folder, names("overall_consistency"))
    agree(OverallConsistency(), results)
    styled = {name: (TemporalStyle()(video(name), results[name][1]), results[name][1]) for name in names("temporal_style")}
    agree(TemporalStyle(), styled)


def test_motion_smoothness(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(folder, "amt_s", monkeypatch)
    agree(MotionSmoothness(), judged(MotionSmoothness(), folder, names("motion_smoothness")))
