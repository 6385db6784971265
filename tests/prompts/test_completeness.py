"""What a folder of videos lacks."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import vbench
from salt_bench.prompts.base import Asked, Suite
from salt_bench.prompts.completeness import STATIC, examine

OWN = vbench.own()
STILL = OWN.of("temporal_flickering")[0].text


def fill(folder: Path, suite: Suite = OWN, suffix: str = ".mp4") -> Path:
    for row in suite.rows:
        for index in range(suite.filtered if "temporal_flickering" in row.dimensions else suite.samples):
            touch(folder / f"{row.text}-{index}{suffix}")
    return folder


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_full_folder_is_complete(tmp_path: Path) -> None:
    found = examine(fill(tmp_path), OWN)
    assert found.complete
    assert (found.missing, found.strange, found.doubled) == ((), (), ())
    videos = sum(len(row.dimensions) * 5 for row in OWN.rows) + 20
    assert list(found.lines()) == [f"{videos} of {videos} videos are there"]


def test_an_empty_folder_lacks_everything_per_dimension(tmp_path: Path) -> None:
    found = examine(tmp_path, OWN, ["imaging_quality", "temporal_flickering"])
    assert [video.name for video in found.missing if video.dimension == "imaging_quality"][:6] == [
        *(f"Rain on a tin roof, seen through a window.-{index}" for index in range(5)),
        "Two swans cross a pond at dawn-0",
    ]
    assert sum(video.dimension == "temporal_flickering" for video in found.missing) == 25
    assert not found.complete
    assert any(line.endswith("and 24 more") for line in found.lines(1))


def test_a_missing_video_is_missed_by_all_its_dimensions(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "Two swans cross a pond at dawn-3.mp4").unlink()
    found = examine(tmp_path, OWN)
    assert {(video.dimension, video.name) for video in found.missing} == {
        (name, "Two swans cross a pond at dawn-3") for name in ("overall_consistency", "aesthetic_quality", "imaging_quality")
    }


def test_videos_may_lie_in_a_folder_for_each_group(tmp_path: Path) -> None:
    for row in OWN.rows:
        fill(tmp_path / vbench.folders(row.dimensions[0])[1], replace(OWN, rows=(row,)))
    assert examine(tmp_path, OWN).complete
    assert examine(tmp_path, OWN, ["background_consistency", "motion_smoothness"]).complete


def test_a_filters_result_says_which_videos_are_needed(tmp_path: Path) -> None:
    fill(tmp_path)
    for index in range(5, 25):
        (tmp_path / f"{STILL}-{index}.mp4").unlink()
    assert len(examine(tmp_path, OWN).missing) == 20
    result = tmp_path / "filter_results"
    touch(result / "filtered_videos" / f"{STILL}-0.mp4")
    (result / STATIC).write_text(json.dumps({STILL: {"static_count": 2, "static_path": ["x", "y"]}}))
    found = examine(tmp_path, OWN)
    assert [video.name for video in found.missing] == [f"{STILL}-1"]
    assert found.few == (STILL,)
    touch(result / "filtered_videos" / f"{STILL}-1.mp4")
    assert examine(tmp_path, OWN).complete
    assert examine(tmp_path, OWN, filtered=result).complete
    (result / STATIC).write_text("[")
    with pytest.raises(UserError, match=r"filtered_static_video.json is damaged"):
        examine(tmp_path, OWN)
    with pytest.raises(WrongUse, match="is no filter's result"):
        examine(tmp_path, OWN, filtered=tmp_path)


def test_two_files_of_one_video_and_strange_ones_are_told(tmp_path: Path) -> None:
    fill(tmp_path)
    touch(tmp_path / "greenhouse-0.gif")
    touch(tmp_path / "holiday-0.mp4")
    touch(tmp_path / "notes.txt")
    touch(tmp_path / "greenhouse-7.mp4")
    found = examine(tmp_path, OWN)
    assert found.doubled == ("greenhouse-0",)
    assert not found.complete
    assert found.strange == ("holiday-0.mp4",)


def test_names_that_hide_each_other_are_told(tmp_path: Path) -> None:
    suite = Suite("two", tuple(Asked(text, ("color",)) for text in ("A red car", "a red car")), samples=1)
    touch(tmp_path / "A red car-0.mp4")
    found = examine(tmp_path, suite)
    assert found.colliding == ("a red car-0",)
    touch(tmp_path / "a red car-0.mp4")
    assert examine(tmp_path, suite).complete


def test_accents_may_be_taken_apart_by_the_file_system(tmp_path: Path) -> None:
    suite = Suite("one", (Asked("façades", ("color",)),), samples=1)
    touch(tmp_path / unicodedata.normalize("NFD", "façades-0.mp4"))
    assert examine(tmp_path, suite).complete


def test_no_folder_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="no such folder of videos"):
        examine(tmp_path / "nowhere", OWN)
