"""The page of judged videos: every number on it against scores that were chosen beforehand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from salt_bench.composites import summary as summaries
from salt_bench.composites import vbench_total
from salt_bench.errors import UserError
from salt_bench.report import scores_page
from salt_bench.report.scores_page import Scores

FLICKERING = [0.91, 0.93, 0.95, 0.97, 0.99, 0.90, 0.92]


def row(dimension: str, number: int, value: float | None, note: str = "") -> dict[str, Any]:
    video = {"video": f"p{number}-0.mp4", "prompt": f"p{number}", "sample_seed": 0}
    return video | {"judge": f"vbench/{dimension}", "value": value, "weight": 1.0, "note": note, "extra": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [row("temporal_flickering", n, value) for n, value in enumerate(FLICKERING)]
    rows += [row("dynamic_degree", n, float(n % 2)) for n in range(6)] + [row("dynamic_degree", 6, None, "cut off")]
    summary = summaries.recorded(vbench_total.SCHEME, rows, {"random_weights": "made at random, seed 0, 2 layers"})
    summary["missing"] += [f"scene: street-{n}" for n in range(scores_page.MISSING + 3)]
    times = [{"video": "p0-0.mp4", "decodes": 1, "seconds": {"raft": 3.0, "differences": 0.5, "all": 4.0}}]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "timings.jsonl").write_text("".join(json.dumps(one) + "\n" for one in times))
    return tmp_path


def texts(table: Any) -> dict[str, tuple[str, ...]]:
    return {line[0].text: tuple(cell.text for cell in line[1:]) for line in table.rows}


def test_dimensions_stand_in_the_benchmark_s_order_with_their_place_in_it(folder: Path) -> None:
    found = texts(scores_page.dimensions(Scores.read(folder)))
    assert list(found) == ["temporal_flickering", "dynamic_degree"]
    mean = sum(FLICKERING) / len(FLICKERING)
    group, score, normalised, *counts = found["temporal_flickering"]
    assert (group, counts) == ("quality", ["7 of 75", "7", "0", "0"])
    assert score.startswith(f"{100 * mean:.1f} ±")
    assert normalised.startswith(f"{100 * (mean - 0.6293) / (1 - 0.6293):.1f}"[:4])
    assert found["dynamic_degree"][-1] == "1"


def test_a_composite_that_lacks_something_has_no_number(folder: Path) -> None:
    found = texts(scores_page.composites(Scores.read(folder)))
    assert found["total"][1] == "–"
    assert "scene" in found["total"][0]
    assert "temporal_flickering" not in found["total"][0]


def test_the_lowest_are_the_lowest_and_in_order(folder: Path) -> None:
    table = scores_page.lowest(Scores.read(folder))
    assert table
    flickering = [line[1].text for line in table.rows if line[0].text == "temporal_flickering"]
    assert flickering == ["p5-0.mp4", "p0-0.mp4", "p6-0.mp4", "p1-0.mp4", "p2-0.mp4"]


def test_what_was_not_judged_is_said_with_its_reason(folder: Path) -> None:
    table = scores_page.unjudged(Scores.read(folder))
    assert table
    assert [[cell.text for cell in line] for line in table.rows] == [["dynamic_degree", "cut off", "1"]]


def test_seconds_add_up(folder: Path) -> None:
    table = scores_page.seconds(Scores.read(folder))
    assert table
    assert texts(table) == {"raft": ("3.0", "75.0"), "differences": ("0.5", "12.5"), "decoding and the rest": ("0.5", "12.5")}


def test_both_pages_say_that_weights_are_random_and_what_is_missing(folder: Path) -> None:
    written = scores_page.render(folder)
    assert {path.name for path in written} == {"index.html", "report.md", "dimensions.svg"}
    for page in ((folder / name).read_text() for name in ("index.html", "report.md")):
        assert "Made with random weights" in page
        assert "seed 0, 2 layers" in page
        assert "3 more videos are missing" in page
        assert "Not the full suite" in page


def test_a_page_of_real_weights_has_no_such_banner(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    summary["protocol"] = {}
    (folder / "summary.json").write_text(json.dumps(summary))
    scores_page.render(folder)
    assert "random weights" not in (folder / "index.html").read_text()


def test_rendering_again_changes_no_byte_and_the_command_does_it(folder: Path) -> None:
    before = {path: path.read_bytes() for path in scores_page.render(folder)}
    subprocess.run([sys.executable, "-m", "salt_bench.cli", "render", folder], check=True, stdout=subprocess.DEVNULL)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("damage", ["{", "{}", '{"benchmark": "other"}'])
def test_a_damaged_summary_is_named(folder: Path, damage: str) -> None:
    (folder / "summary.json").write_text(damage)
    with pytest.raises(UserError, match="no readable"):
        scores_page.render(folder)
