"""The command against the straight line: tiny random networks, every dimension, value by value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import films
import open_clip
import pytest
import small_networks as tiny
import straight
from typer.testing import CliRunner

from salt_bench.cli import app

NAMES = ("subject_consistency", "background_consistency", "temporal_flickering", "dynamic_degree", "aesthetic_quality")
ALL = (*NAMES, "appearance_style", "static_filter")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    films.write(folder / "in cyberpunk style-0.mp4", films.drift(4, 136, 132), "libx264", "yuv420p", fps=12)
    films.write(folder / "deep" / "van Gogh-12.mp4", films.drift(3, 144, 128, speed=5), "libx264", "yuv420p", fps=8)
    return folder


@pytest.fixture(scope="module")
def rows(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    weights, out = tiny.write(tmp_path_factory.mktemp("weights")), tmp_path_factory.mktemp("out")
    asked = ["--mode", "custom", "--dimensions", ",".join(ALL), "--weights", str(weights), "--out", str(out)]
    done = CliRunner().invoke(app, ["judge", str(videos), "--suite", "vbench", *asked])
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert len(found) == 2 * len(ALL)
    return {(row["judge"].removeprefix("vbench/"), Path(row["video"]).name): row for row in found}


def networks() -> dict[str, Callable[[Path], Any]]:
    small = straight.clip(tiny.clip("clip_b32"), **tiny.SIZES["clip_b32"])
    large = straight.clip(tiny.clip("clip_l14"), **tiny.SIZES["clip_l14"])
    vit, flow, head = straight.dino(tiny.dino(), tiny.DINO_WIDTH, tiny.DINO_DEPTH), straight.raft(tiny.raft()), tiny.head()
    return {
        "temporal_flickering": straight.temporal_flickering,
        "subject_consistency": lambda path: straight.subject_consistency(path, vit),
        "background_consistency": lambda path: straight.background_consistency(path, small),
        "aesthetic_quality": lambda path: straight.aesthetic_quality(path, large, head),
        "appearance_style": lambda path: straight.appearance_style(
            path, small, open_clip.tokenize([path.stem.rpartition("-")[0]])
        ),
        "dynamic_degree": lambda path: straight.dynamic_degree(path, flow),
        "static_filter": lambda path: straight.static_filter(path, flow),
    }


@pytest.mark.parametrize("name", ALL)
def test_a_dimension_is_its_straight_line(name: str, rows: dict[tuple[str, str], dict[str, Any]], videos: Path) -> None:
    loop = networks()[name]
    values = set()
    for path in videos.rglob("*.mp4"):
        row, found = rows[name, path.name], loop(path)
        values.add(row["value"])
        assert (row["prompt"], row["sample_seed"]) == (path.stem.rpartition("-")[0], int(path.stem.rpartition("-")[2]))
        if isinstance(found, tuple):
            assert row["value"] == float(found[0])
            speeds = row["extra"]["pair_scores"]
            assert speeds == pytest.approx(found[1][: len(speeds)], rel=1e-4)
        else:
            assert row["value"] == pytest.approx(found, abs=1e-6)
    assert name in ("dynamic_degree", "static_filter") or len(values) == 2


def test_the_tiny_networks_see_something(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """A score that is 1 or 0 whatever the frames would agree with any mistake."""
    for name in ("subject_consistency", "background_consistency"):
        assert all(0.2 < row["value"] < 0.9999 for (judge, _), row in rows.items() if judge == name)
