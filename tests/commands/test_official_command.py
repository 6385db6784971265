"""`salt-bench official`: a package called vbench in another interpreter's environment, here a small false one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from salt_bench import cli
from salt_bench.errors import UserError, WrongUse
from salt_bench.judges.vbench import hatch

TORCH = """
class device(str):
    pass
"""
VBENCH = '''
import json, os, signal, sys

class VBench:
    """Like the official class: same arguments, same file. What it says depends on the dimension alone."""

    def __init__(self, device, full_info_dir, output_path):
        assert os.path.basename(full_info_dir) == "VBench_full_info.json"
        self.device, self.output_path = str(device), output_path

    def evaluate(self, videos_path, name, dimension_list, mode):
        (dimension,) = dimension_list
        with open(os.path.join(os.environ["FAKE_LOG"]), "a") as log:
            log.write(json.dumps([dimension, mode, self.device, videos_path]) + "\\n")
        print("said on the way")
        if dimension == "scene":
            raise ValueError("no detectron2 here")
        if dimension == "color":
            os.kill(os.getpid(), signal.SIGKILL)
        if dimension == "human_action":
            return
        paths = sorted(os.path.join(videos_path, name) for name in os.listdir(videos_path))
        scale = 100 if dimension == "imaging_quality" else 1
        videos = [{"video_path": p, "video_results": scale * (0.5 + 0.1 * n)} for n, p in enumerate(paths)]
        score = sum(v["video_results"] for v in videos) / len(videos) / scale
        result = "{" if dimension == "object_class" else json.dumps({dimension: [score, videos]}, indent=4)
        if dimension == "temporal_style":
            result = json.dumps({"overall_consistency": [score, videos]})
        with open(os.path.join(self.output_path, name + "_eval_results.json"), "w") as file:
            file.write(result)
        with open(os.path.join(self.output_path, name + "_full_info.json"), "w") as file:
            file.write("[]")
'''


def film(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        for level in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((16, 16, 3), level, np.uint8), format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A false environment; the file into which it writes what it was asked."""
    for name, text in (("torch", TORCH), ("vbench", VBENCH)):
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    for name, frames in (("a cat-0.mp4", 3), ("a dog-1.mp4", 9)):
        film(tmp_path / "v" / name, frames)
    return tmp_path / "log"


def official(folder: Path, dimensions: str, *options: object, python: object = sys.executable) -> Result:
    words = ("official", folder / "v", "--python", python, "--dimensions", dimensions, "--out", folder / "out", *options)
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "scores.jsonl").read_text().splitlines()]


def asked(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_one_process_for_each_dimension_and_rows_as_our_judges_leave_them(tmp_path: Path, log: Path) -> None:
    done = official(tmp_path, "imaging_quality,subject_consistency", "--mode", "custom", "--device", "cuda:1")
    assert done.exit_code == 0, done.output
    videos = str(tmp_path / "v")
    names = ["subject_consistency", "imaging_quality"]
    assert asked(log) == [[name, "custom_input", "cuda:1", videos] for name in names], "in the official order"
    found = rows(tmp_path)
    cat, dog = found[:2]
    assert cat == {
        "video": "a cat-0.mp4",
        "prompt": "a cat",
        "sample_seed": 0,
        "judge": "vbench-official/subject_consistency",
        "value": 0.5,
        "weight": 2.0,
        "note": "",
        "extra": {},
    }
    assert (dog["video"], dog["prompt"], dog["sample_seed"], dog["weight"]) == ("a dog-1.mp4", "a dog", 1, 8.0)
    assert [row["value"] for row in found[2:]] == pytest.approx([50, 60])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dimensions"] == {"subject_consistency": pytest.approx(0.55), "imaging_quality": pytest.approx(0.55)}
    assert summary["protocol"]["judges"] == "official"
    assert summary["protocol"]["versions"]["vbench"] == "unknown"
    assert (tmp_path / "out" / "official" / "imaging_quality" / "stdout.txt").read_text() == "said on the way\n"
    total = CliRunner().invoke(cli.app, ["total", str(tmp_path / "out")])
    lines = {line.split()[0]: line.split()[1] for line in total.output.splitlines() if len(line.split()) > 1}
    assert lines["imaging_quality"] == "55.00"
    assert lines["subject_consistency"] == f"{100 * (2 * 0.5 + 8 * 0.6) / 10:.2f}", "pairs of frames count"


def test_a_crash_costs_one_dimension_and_says_why(tmp_path: Path, log: Path) -> None:
    names = "scene,color,human_action,object_class,temporal_style,dynamic_degree"
    done = official(tmp_path, names, "--mode", "custom")
    assert done.exit_code == 6
    why = json.loads((tmp_path / "out" / "summary.json").read_text())["missing_because"]
    assert why["scene"] == "vbench ended with exit code 1: ValueError: no detectron2 here"
    assert why["color"] == "vbench ended with signal 9: it said nothing"
    assert why["human_action"] == "vbench ended well, and one *_eval_results.json was expected: it left none"
    assert why["object_class"].startswith("object_class_eval_results.json is damaged or no JSON")
    assert why["temporal_style"] == "temporal_style_eval_results.json holds overall_consistency, not temporal_style"
    assert why["imaging_quality"] == "no score of it"
    assert "scene: vbench ended with exit code 1" in done.output
    unjudged = {row["judge"].rpartition("/")[2] for row in rows(tmp_path) if row["value"] is None}
    assert unjudged == set(names.split(",")) - {"dynamic_degree"}
    assert all(row["note"] == why[row["judge"].rpartition("/")[2]] for row in rows(tmp_path) if row["value"] is None)
    assert len(rows(tmp_path)) == 12


def test_what_is_finished_is_kept_and_what_failed_is_tried_again(tmp_path: Path, log: Path) -> None:
    for _ in range(2):
        assert official(tmp_path, "scene,dynamic_degree").exit_code == 6
    assert [name for name, *_ in asked(log)] == ["dynamic_degree", "scene", "scene"]
    assert {mode for _, mode, *_ in asked(log)} == {"vbench_standard"}
    before = (tmp_path / "out" / "scores.jsonl").read_bytes()
    assert {row["judge"] for row in rows(tmp_path)} == {"vbench-official/dynamic_degree"}, "whose scene was, only it knows"
    done = official(tmp_path, "dynamic_degree")
    assert "0.550000, kept from before" in done.output
    assert (tmp_path / "out" / "scores.jsonl").read_bytes() == before
    assert len(asked(log)) == 3
    film(tmp_path / "v" / "a hen-0.mp4", 2)
    official(tmp_path, "dynamic_degree")
    official(tmp_path, "dynamic_degree", "--mode", "custom")
    assert len(asked(log)) == 5, "other videos and another mode are other results"
    next((tmp_path / "out" / "official" / "dynamic_degree" / "results").glob("*_eval_results.json")).unlink()
    assert official(tmp_path, "dynamic_degree", "--mode", "custom").exit_code == 0
    assert len(asked(log)) == 6


def test_ours_minus_official(tmp_path: Path, log: Path) -> None:
    ours = [
        {"video": video, "prompt": "p", "sample_seed": n, "judge": f"vbench/{name}", "value": value, "weight": 1.0, "note": ""}
        for name, values in {"dynamic_degree": (0.51, 0.57), "scene": (1.0, 1.0), "motion_smoothness": (0.5, None)}.items()
        for n, (video, value) in enumerate(zip(("a cat-0.mp4", "a dog-1.mp4"), values, strict=True))
    ]
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ours))
    done = official(tmp_path, "dynamic_degree,motion_smoothness", "--against", tmp_path / "ours.jsonl")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    at = lines.index("dynamic_degree: ours minus official, 2 videos: mean -1.00e-02, largest 3.00e-02")
    assert lines[at + 2].split() == ["0.570000", "0.600000", "-3.00e-02", "a", "dog-1.mp4"]
    assert lines[at + 3].split() == ["0.510000", "0.500000", "+1.00e-02", "a", "cat-0.mp4"]
    assert "motion_smoothness: ours minus official, 1 videos: mean +0.00e+00, largest 0.00e+00" in lines
    (tmp_path / "ours.jsonl").write_text(json.dumps(ours[2]) + "\n")
    done = official(tmp_path, "dynamic_degree", "--against", tmp_path / "ours.jsonl")
    assert "nothing to compare" in done.output


def test_wrong_use(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*words: Any, **how: Any) -> str:
        error = official(tmp_path, *words, **how).exception
        assert isinstance(error, WrongUse), error
        return str(error)

    assert "no interpreter /nowhere/python: give the python of" in said("scene", python="/nowhere/python")
    assert "is no Python interpreter that works (it said nothing)" in said("scene", python="false")
    (tmp_path / "bad").write_text("no program")
    (tmp_path / "bad").chmod(0o755)
    assert "is no Python interpreter that works" in said("scene", python=tmp_path / "bad")
    assert "did you mean scene?" in said("scen")
    assert "--dimensions names some of subject_consistency" in said(",")
    assert "--dimensions names some of" in said("static_filter")
    assert "--against is the scores.jsonl of" in said("scene", "--against", tmp_path / "absent.jsonl")
    assert not log.exists(), "nothing ran"
    (tmp_path / "packages" / "vbench" / "__init__.py").unlink()
    (tmp_path / "packages" / "vbench").rmdir()
    assert f"has no package vbench: `{sys.executable} -m pip install vbench`" in said("scene")
    monkeypatch.setattr(hatch, "environment", lambda python: hatch.Environment(Path(sys.executable), "1", "3"))
    (tmp_path / "v" / "a cat-0.mp4").unlink()
    (tmp_path / "v" / "a dog-1.mp4").unlink()
    assert "no videos in" in said("scene")
    assert issubclass(WrongUse, UserError)
