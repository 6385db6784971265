"""The official numbers, through the command line: pseudo-random weights of the real shapes, five small videos, one run each.

The data lie in a folder `shared` beside the checkout; without it there is nothing to check. The weights (about 5 GB) are
written once by the data's own script, into the folder that SALT_VBENCH_FIXTURE_CACHE names or into a temporary one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FIXTURES = (ROOT / "../shared/fixtures/vbench").resolve()
DATA = (ROOT / "../shared/data/vbench").resolve()
TOGETHER = (
    "temporal_flickering",
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "dynamic_degree",
    "aesthetic_quality",
    "imaging_quality",
    "overall_consistency",
)
RAW = {"video_sim": 1e-5, "cnt_per_video": 0, "frame_results": 5e-6, "cur_sim": 5e-6, "pair_scores": 2e-4, "thres": 1e-9}

pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="no folder shared/fixtures/vbench beside the checkout")


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    return json.loads((FIXTURES / "expected_public.json").read_text())


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, expected: dict[str, Any]) -> Iterator[Path]:
    kept = os.environ.get("SALT_VBENCH_FIXTURE_CACHE")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("weights")
    missing = [name for name in expected["weights"] if not (folder / expected["weights"][name]["file"]).is_file()]
    if missing:
        script = [sys.executable, FIXTURES / "make_weights.py", "--seed", "11", "--out", folder, "--models", *missing]
        subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    yield folder
    if not kept:
        shutil.rmtree(folder)


def judged(
    weights: Path, out: Path, *dimensions: str, options: tuple[str, ...] = (), videos: Path = FIXTURES / "videos_public"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """{dimension: {video: row}} and the summary of one run of the command."""
    asked = [
        "--mode",
        "custom",
        "--jobs",
        "2",
        "--dimensions",
        ",".join(dimensions),
        "--weights",
        weights,
        "--out",
        out,
        *options,
    ]
    command = [sys.executable, "-m", "salt_bench.cli", "judge", videos, "--suite", "vbench", *asked]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"SALT_CACHE": str(DATA.parent)})
    rows: dict[str, Any] = {name: {} for name in dimensions}
    for row in map(json.loads, (out / "scores.jsonl").read_text().splitlines()):
        assert row["video"] not in rows[row["judge"].removeprefix("vbench/")]
        rows[row["judge"].removeprefix("vbench/")][row["video"]] = row
    return rows, json.loads((out / "summary.json").read_text())


def compare(name: str, rows: dict[str, Any], score: float | None, truth: dict[str, Any]) -> None:
    allowed = 0.0 if truth["tolerance"]["score"] == "exact" else truth["tolerance"]["score"]
    assert set(rows) >= set(truth["videos"])
    for video, official in truth["videos"].items():
        found = rows[video]
        off = abs(found["value"] - float(official["score"]))
        print(f"{name:24} {video:48} off by {off:.1e}")
        assert off <= allowed, (name, video)
        for key, tolerance in RAW.items():
            if key in official:
                close(found["extra"][key], official[key], tolerance)
    if truth["dataset_score"] is not None and len(rows) == len(truth["videos"]):
        print(f"{name:24} {'the set':48} off by {abs(score - truth['dataset_score']):.1e}")
        assert score == pytest.approx(truth["dataset_score"], abs=truth["tolerance"].get("dataset_score", allowed or 1e-12))


def close(found: Any, official: Any, tolerance: float) -> None:
    """Equal within `tolerance`; a list may end where an early exit was exact."""
    if isinstance(official, list):
        assert found
        official = official[: len(found)]
    assert found == pytest.approx(official, abs=tolerance)


@pytest.fixture(scope="session")
def together(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    return judged(cache, tmp_path_factory.mktemp("together"), *TOGETHER)


@pytest.mark.parametrize("name", TOGETHER)
def test_dimension(name: str, together: tuple[dict[str, Any], dict[str, Any]], expected: dict[str, Any]) -> None:
    rows, summary = together
    compare(name, rows[name], summary["dimensions"][name], expected["dimensions"][name])


def test_appearance_style(cache: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    """Its text is the style's own words, which custom mode takes from --prompts."""
    truth = expected["dimensions"]["appearance_style"]
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({video: official["text"] for video, official in truth["videos"].items()}))
    rows, summary = judged(cache, tmp_path / "out", "appearance_style", options=("--prompts", str(prompts)))
    compare("appearance_style", rows["appearance_style"], summary["dimensions"]["appearance_style"], truth)


def test_static_filter(cache: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    """Its fixture has weights of its own, in a second folder, so that some videos pass and some do not."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "raft_model").symlink_to(cache / "raft_model_static")
    rows, _ = judged(tmp_path / "weights", tmp_path / "out", "static_filter")
    compare("static_filter", rows["static_filter"], None, expected["dimensions"]["static_filter"])


def films(folder: Path, names: dict[str, str]) -> Path:
    """A folder of videos under other names: new name → video."""
    folder.mkdir()
    for name, video in names.items():
        shutil.copy(FIXTURES / "videos_public" / video, folder / name)
    return folder


def test_temporal_style(cache: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    truth = expected["dimensions"]["temporal_style"]
    folder = films(tmp_path / "videos", {video: video for video in truth["videos"]})
    rows, summary = judged(cache, tmp_path / "out", "temporal_style", videos=folder)
    compare("temporal_style", rows["temporal_style"], summary["dimensions"]["temporal_style"], truth)


def test_human_action_and_what_videos_are_called(cache: Path, tmp_path: Path, expected: dict[str, Any]) -> None:
    """The eight surest actions of each video, and the verdict where the same video is called after another action: their bytes
    are looked at once."""
    truth = expected["dimensions"]["human_action"]
    rows, summary = judged(
        cache, tmp_path / "out", "human_action", videos=films(tmp_path / "v", {video: video for video in truth["videos"]})
    )
    compare("human_action", rows["human_action"], summary["dimensions"]["human_action"], truth)
    for video, official in truth["videos"].items():
        top = rows["human_action"][video]["extra"]["top"]
        assert [label for label, _ in top] == [label for label, _, _ in official["top8"]]
        values = [value for _, _, value in official["top8"]]
        assert [value for _, value in top] == pytest.approx(values, abs=truth["tolerance"]["probabilities"])
    renamed = {Path(name).name: video for video, official in truth["videos"].items() for name, _ in official["renamed"]}
    right = {Path(name).name: said for official in truth["videos"].values() for name, said in official["renamed"]}
    rows, _ = judged(cache, tmp_path / "out", "human_action", videos=films(tmp_path / "renamed", renamed))
    assert {name: bool(row["value"]) for name, row in rows["human_action"].items()} == right
