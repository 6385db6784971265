"""Our rows and official files, folders and zips of them; damaged and foreign files are named."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from vbench_results import VIDEOCRAFTER, entries, row, rows, write_rows

from salt_bench.composites import vbench_i2v, vbench_long
from salt_bench.composites.reading import read
from salt_bench.composites.rows import Aggregate
from salt_bench.composites.summary import summarise
from salt_bench.composites.vbench_total import SCHEME
from salt_bench.errors import UserError, WrongUse


def write(path: Path, found: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return path


def video(name: str, value: object, **more: object) -> dict[str, object]:
    return {"video_path": f"out/videos/{name}", "video_results": value, **more}


def test_rows_and_official_files_of_the_same_videos_agree(tmp_path: Path) -> None:
    made = rows(seed=3, prompts=4)
    ours = read([write_rows(tmp_path / "run" / "scores.jsonl", made)], SCHEME)
    write(tmp_path / "run" / "summary.json", {"protocol": {"suite": "vbench-smoke"}})
    theirs = read([write(tmp_path / "results_full_eval_results.json", entries(made))], SCHEME)
    one, other = summarise(SCHEME, ours), summarise(SCHEME, theirs)
    assert one.composites == pytest.approx(other.composites)
    pair = one.estimate("quality"), other.estimate("quality")
    assert pair[0]
    assert pair[1]
    assert pair[0].standard_error == pytest.approx(pair[1].standard_error)
    assert other.remarks == ()
    assert read([tmp_path / "run"], SCHEME).protocol == {"suite": "vbench-smoke"}


def test_a_zip_of_official_files_is_one_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name, value in VIDEOCRAFTER.items():
            archive.writestr(f"model/{name}_eval_results.json", json.dumps({name.replace("_", " "): [value, []]}))
        archive.writestr("model/x_full_info.json", "[]")
        archive.writestr("__MACOSX/model/._x_eval_results.json", b"\x00\x05\x16\x07")
        archive.writestr("../outside.txt", "never written")
    found = summarise(SCHEME, read([tmp_path / "model.zip"], SCHEME))
    assert {name: round(100 * value, 2) for name, value in found.composites.items()} == {
        "quality": 82.20,
        "semantic": 73.42,
        "total": 80.44,
    }
    assert found.estimate("total") is None, "a score alone has no interval"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.zip"]


def test_several_files_are_one_model_and_a_dimension_stands_in_one(tmp_path: Path) -> None:
    first = write(tmp_path / "a_eval_results.json", {"color": [0.9, []]})
    second = write(tmp_path / "b_eval_results.json", {"scene": [0.5, []]})
    assert read([first, second], SCHEME).stated == {"color": 0.9, "scene": 0.5}
    assert read([tmp_path], SCHEME).stated == {"color": 0.9, "scene": 0.5}
    write(second, {"color": [0.8, []]})
    with pytest.raises(WrongUse, match=r"color stands in both .*a_eval_results.json and .*b_eval_results.json"):
        read([tmp_path], SCHEME)


def test_official_extras_say_how_frames_count(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x_eval_results.json",
        {
            "background_consistency": [0.7, [video("a-0.mp4", 0.9, cnt_per_video=8), video("a-1.mp4", 0.6, cnt_per_video=16)]],
            "object_class": [
                0.5,
                [video("a-0.mp4", 1.0, success_frame_count=4, frame_count=4), video("a-1.mp4", 0.25, frame_count=8)],
            ],
            "appearance_style": [
                0.3,
                [video("a-0.mp4", 0.3, frame_results=[0.1, 0.5]), video("b-0.mp4", 0.2, frame_results=[0.2])],
            ],
            "dynamic_degree": [0.5, [video("a-0.mp4", True), video("a-1.mp4", False)]],
            "imaging_quality": [0.65, [video("a-0.mp4", 60.0), video("a-1.mp4", 70.0)]],
        },
    )
    again = summarise(SCHEME, read([file], SCHEME), Aggregate.one_process)
    assert {name: scored.value for name, scored in again.dimensions.items()} == pytest.approx(
        {
            "background_consistency": (8 * 0.9 + 16 * 0.6) / 24,
            "dynamic_degree": 0.5,
            "imaging_quality": 0.65,
            "object_class": (4 * 1.0 + 8 * 0.25) / 12,
            "appearance_style": (2 * 0.3 + 0.2) / 3,
        }
    )
    several = summarise(SCHEME, read([file], SCHEME), Aggregate.multi_gpu)
    assert several.dimensions["appearance_style"].value == pytest.approx((0.5 + 0.2) / 2)
    stated = summarise(SCHEME, read([file], SCHEME))
    assert stated.dimensions["appearance_style"].value == 0.3
    assert [remark.split(":")[0] for remark in stated.remarks] == ["appearance_style"], "0.3 is neither 0.267 nor 0.35"


def test_official_files_do_not_count_the_pairs_of_subject_consistency(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x_eval_results.json", {"subject_consistency": [0.9, [video("a-0.mp4", 0.8), video("b-0.mp4", 0.9)]]}
    )
    stated = summarise(SCHEME, read([file], SCHEME))
    assert stated.dimensions["subject_consistency"].value == 0.9
    assert stated.dimensions["subject_consistency"].estimate is not None
    by_frame = summarise(SCHEME, read([file], SCHEME), Aggregate.one_process)
    assert "weighs videos by their frames" in by_frame.missing["subject_consistency"]
    by_video = summarise(SCHEME, read([file], SCHEME), Aggregate.multi_gpu)
    assert by_video.dimensions["subject_consistency"].value == pytest.approx(0.85)


def test_color_may_be_nan_and_windows_paths_are_paths(tmp_path: Path) -> None:
    file = tmp_path / "x_eval_results.json"
    file.write_text('{"color": [0.5, [{"video_path": "C:\\\\v\\\\a red car-3.mp4", "video_results": NaN}]]}')
    (found,) = read([file], SCHEME).rows
    assert (found.prompt, found.index, found.value, found.note) == ("a red car", 3, None, "the file says nan")


def test_i2v_and_long_files_have_their_own_shapes(tmp_path: Path) -> None:
    camera = {
        "camera_motion": [
            0.5,
            {"pan_left": 0.5},
            [video("x, camera pans left-0.mp4", True), video("y, camera static-0.mp4", False)],
        ]
    }
    found = summarise(vbench_i2v.SCHEME, read([write(tmp_path / "c_eval_results.json", camera)], vbench_i2v.SCHEME))
    assert (found.dimensions["camera_motion"].value, found.dimensions["camera_motion"].videos) == (0.5, 2)
    clips = [video(f"split_clip/a dog-0/a dog-0_{k:03d}.mp4", 0.2 + 0.1 * k) for k in range(3)]
    long = write(tmp_path / "l_eval_results.json", {"temporal_style": [0.3, clips, {"a dog": 0.3}]})
    measured = read([long], vbench_long.SCHEME)
    assert {(row.prompt, row.index, row.clip) for row in measured.rows} == {("a dog", 0, f"{k:03d}") for k in range(3)}
    assert summarise(vbench_long.SCHEME, measured, Aggregate.one_process).dimensions["temporal_style"].value == pytest.approx(
        0.3
    )


def test_rows_of_other_judges_are_passed_over(tmp_path: Path) -> None:
    file = write_rows(
        tmp_path / "scores.jsonl", [row("color", "a", 0, 0.5), row("color", "a", 0, 9.0) | {"judge": "sharpness"}]
    )
    assert [one.value for one in read([file], SCHEME).rows] == [0.5]


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "cut off": ("x.json", lambda p: p.write_text('{"color": [0.5'), "x.json is damaged or no JSON"),
    "binary": ("x.json", lambda p: p.write_bytes(b"\x89PNG\xff\xfe"), "x.json is damaged or no text"),
    "empty": ("x.json", lambda p: p.write_text(""), "x.json is damaged or no JSON"),
    "a list": ("x.json", lambda p: p.write_text("[1]"), "x.json is no VBench result: .* this is a list"),
    "foreign": (
        "x.json",
        lambda p: p.write_text('{"name": "salt"}'),
        "x.json is no result of vbench: it has no dimension 'name'",
    ),
    "no score": ("x.json", lambda p: p.write_text('{"color": ["high", []]}'), "x.json: color has no score"),
    "no list": ("x.json", lambda p: p.write_text('{"color": 0.5}'), "x.json: color has no score"),
    "not a number": ("x.json", lambda p: p.write_text('{"color": [NaN, []]}'), "x.json: color has no score"),
    "per cent": ("x.json", lambda p: p.write_text('{"color": [92.9, []]}'), "color is 92.9, a score lies in .* per cent"),
    "bad video": (
        "x.json",
        lambda p: p.write_text('{"color": [0.9, [{"video_path": "a-0.mp4", "video_results": "x"}]]}'),
        "x.json: color has a video that is damaged",
    ),
    "no zip": ("x.zip", lambda p: p.write_bytes(b"PK\x03\x04nothing"), "x.zip is damaged or no zip"),
    "empty zip": ("x.zip", lambda p: zipfile.ZipFile(p, "w").close(), "x.zip holds no"),
    "bad line": (
        "x.jsonl",
        lambda p: p.write_text(json.dumps(row("color", "a", 0, 0.5)) + '\n{"judge"'),
        "x.jsonl line 2 is no row",
    ),
    "no prompt": ("x.jsonl", lambda p: p.write_text('{"judge": "vbench/color", "value": 1}'), "line 1 is no row .no 'prompt'"),
    "bad value": ("x.jsonl", lambda p: p.write_text(json.dumps(row("color", "a", 0, 1) | {"value": "1"})), "line 1 is no row"),
    "a table": ("x.jsonl", lambda p: p.write_text('{"prompts": ["a"]}'), "this is a study's table"),
    "no rows": ("x.jsonl", lambda p: p.write_text(""), "x.jsonl holds no row"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_and_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    file, make, message = BAD[name]
    make(tmp_path / file)
    with pytest.raises(UserError, match=message) as caught:
        read([tmp_path / file], SCHEME)
    assert caught.value.code == 5
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_not_there_or_no_result_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("color,0.5")
    with pytest.raises(WrongUse, match="no such file or folder"):
        read([tmp_path / "nowhere"], SCHEME)
    with pytest.raises(WrongUse, match=r"scores.csv is no result: give scores.jsonl"):
        read([tmp_path / "scores.csv"], SCHEME)
    with pytest.raises(UserError, match="nothing to read"):
        read([tmp_path], SCHEME)


def test_a_zip_that_is_spoilt_inside_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("color_eval_results.json", json.dumps({"color": [0.5, []], "pad": "x" * 5000}))
    spoilt = bytearray(file.read_bytes())
    spoilt[60:70] = b"\xff" * 10
    file.write_bytes(bytes(spoilt))
    with pytest.raises(UserError, match=r"x.zip is damaged or no zip"):
        read([file], SCHEME)
