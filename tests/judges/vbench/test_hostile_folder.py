"""The command on a folder of all that a user's disk may hold: every video a row, with a value or with a reason."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import films
import pytest
import small_networks as tiny
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from salt_bench import cli
from salt_bench.judges.vbench import crew
from salt_bench.judges.vbench.networks import raft

NAMES = ("subject_consistency", "background_consistency", "temporal_flickering", "dynamic_degree")
SEEN = ("temporal_flickering", "subject_consistency", "background_consistency")  # of these, all but the networks' own limits
ODD = ("caf\\xe9-2.mp4", "a..%2F..%2Fb-1.mp4", "x....-0.mp4", "nested/deep..%2F/x-0.mp4", "outside-0.mp4", f"{'n' * 246}.mp4")
LONG = ("odd.mp4", "even.mp4", "444.mp4", "deep.mkv", "moving.gif", "turned.mp4", "uneven.mkv", "odd size.mp4", *ODD)
BROKEN = {
    "zero.mp4": "an empty file (0 bytes)",
    "cut.mp4": "cut off: the last",
    "text.mp4": "not a readable video: ",
    "playlist.mp4": "not a readable video: ",
    "gone-0.mp4": "No such file or directory",
    "half.gif": "not a readable video: ",
}
LEFT = ("._odd.mp4", "linked", "notes.txt", "picture.png")
"""Neither judged nor passed over in silence: what a system leaves behind, a link to a folder, other files."""

OUTPUT = {"cache", "scores.jsonl", "summary.json", "timings.jsonl", "index.html", "report.md", "figures"}


def healthy(folder: Path) -> None:
    """What can be judged, most of it odd in some way."""
    film, plain = films.drift(5, 132, 136), ("libx264", "yuv420p")
    films.write(folder / "odd.mp4", film, *plain)
    for name, frames in {"one.mp4": film[:1], "two.mp4": film[:2], "even.mp4": film[:4]}.items():
        films.write(folder / name, frames, *plain)
    films.write(folder / "444.mp4", film[:3], "libx264", "yuv444p")
    films.write(folder / "odd size.mp4", films.drift(3, 133, 135), "libx264", "yuv444p")
    films.write(folder / "uneven.mkv", film[:4], times=[0, 10, 15, 70])
    films.turned(films.write(folder / "turned.mp4", film[:3], *plain))
    films.deep(folder / "deep.mkv", 126)
    pictures = [Image.fromarray(frame) for frame in film[:3]]
    pictures[0].save(folder / "moving.gif", save_all=True, append_images=pictures[1:], duration=100)


def strange_names(folder: Path, elsewhere: Path) -> None:
    """Names that are no text, that look like paths, that are as long as a name can be, and that lead out of the folder."""
    content = films.write(elsewhere / "plain.mp4", films.drift(3, 128, 128), "libx264", "yuv420p").read_bytes()
    for name in ODD[1:4] + ODD[5:]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9-2.mp4")).write_bytes(content)
    (folder / "outside-0.mp4").symlink_to(elsewhere / "plain.mp4")


def broken(folder: Path) -> None:
    """What cannot be judged, and what nobody asks for."""
    (folder / "zero.mp4").touch()
    whole = films.write(folder / "cut.mp4", films.drift(20, 64, 64), "libx264", "yuv420p").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp4").write_text("this is no video\n" * 40)
    (folder / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:1,\nodd.mp4\n")
    (folder / "half.gif").write_bytes((folder / "moving.gif").read_bytes()[:9])
    (folder / "gone-0.mp4").symlink_to(folder / "nowhere.mp4")
    (folder / "linked").symlink_to(folder / "nested")
    for name in LEFT:
        (folder / name).touch()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    healthy(folder / "v")
    strange_names(folder / "v", folder / "elsewhere")
    broken(folder / "v")
    weights, out = tiny.write(folder / "weights"), folder / "out"
    options = ["--mode", "custom", "--dimensions", ",".join(NAMES), "--weights", str(weights), "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:  # workers cost seconds to start, and whole flows seconds to find
        patch.setattr(raft, "ITERATIONS", 2)
        patch.setattr(crew, "judge_all", lambda engine, jobs, workers: map(engine, jobs))
        return CliRunner().invoke(cli.app, ["judge", str(folder / "v"), "--suite", "vbench", *options]), out


@pytest.fixture(scope="module")
def rows(judged: tuple[Result, Path]) -> dict[tuple[str, str], dict[str, Any]]:
    lines = (judged[1] / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    found = {(row["video"], row["judge"].removeprefix("vbench/")): row for row in map(json.loads, lines)}
    assert len(found) == len(lines), "a row came twice"
    return found


def test_it_ends_with_6_and_no_traceback(judged: tuple[Result, Path]) -> None:
    result, out = judged
    assert result.exit_code == 6
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert f"{len(LEFT)} files were not asked for, the first is '._odd.mp4'" in result.output
    assert math.isfinite(json.loads((out / "summary.json").read_text())["dimensions"]["temporal_flickering"])


def test_every_video_has_a_row_in_every_dimension(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    videos = {"one.mp4", "two.mp4", *LONG, *BROKEN}
    assert set(rows) == {(video, name) for video in videos for name in NAMES}
    for row in rows.values():
        assert row["value"] is None or math.isfinite(row["value"])
        assert row["value"] is not None or row["note"], row
        assert "\n" not in row["note"]


def test_what_can_be_seen_has_values(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    for video in ("two.mp4", *LONG):
        for name in SEEN:
            assert rows[video, name]["value"] is not None, (video, name, rows[video, name]["note"])
    assert rows["one.mp4", "temporal_flickering"]["note"] == "a single frame has no pair to compare"
    assert rows["one.mp4", "subject_consistency"]["note"] == "a single frame has nothing to agree with"
    assert rows["one.mp4", "dynamic_degree"]["value"] == 0
    assert rows["deep.mkv", "dynamic_degree"]["note"].startswith("RAFT needs pictures of 128 pixels a side")
    assert rows["deep.mkv", "temporal_flickering"]["note"] == "10-bit video, brought to 8 bit"
    assert rows["turned.mp4", "dynamic_degree"]["note"].startswith("turned by")


def test_what_cannot_be_read_says_why(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    for video, why in BROKEN.items():
        for name in NAMES:
            assert rows[video, name]["value"] is None
            assert rows[video, name]["note"].startswith(why), rows[video, name]["note"]


def test_the_same_pixels_score_the_same_whatever_they_are_called(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    for name in NAMES:
        assert len({rows[video, name]["value"] for video in ODD}) == 1
    assert {rows[video, "temporal_flickering"]["sample_seed"] for video in ODD} == {0, 1, 2}


def test_nothing_is_written_beside_the_folder(judged: tuple[Result, Path]) -> None:
    folder = judged[1].parent
    assert {path.name for path in folder.iterdir()} == {"v", "elsewhere", "weights", "out"}
    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["plain.mp4"]
    assert {path.name for path in judged[1].iterdir()} == OUTPUT
