"""`salt-bench judge` and `salt-bench weights`: what they leave on disk, what they say, and the exit code that says it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from salt_bench import cli
from salt_bench.commands import judge as command
from salt_bench.errors import UserError, WrongUse
from salt_bench.judges.vbench import crew, flickering_filter, jobs, weights
from salt_bench.prompts import data
from salt_bench.prompts.base import Asked, Suite

FLICKERING = ("--dimensions", "temporal_flickering")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers cost seconds to start, and their own tests stand elsewhere."""
    monkeypatch.setattr(crew, "judge_all", lambda engine, jobs, workers: map(engine, jobs))


def film(path: Path, *levels: int) -> Path:
    """Flat grey frames of these levels: flickering of 10, 20 is (255 - 10) / 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        for level in levels:
            picture = av.VideoFrame.from_ndarray(np.full((16, 16, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(picture.reformat(format="bgr0")))
        container.mux(stream.encode())
    return path


def judge(videos: Path, out: Path, *options: Any) -> Result:
    arguments = ["judge", videos, "--suite", "vbench", "--weights", out.parent / "weights", "--out", out, *options]
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def refused(result: Result) -> str:
    assert isinstance(result.exception, WrongUse), result.output
    return str(result.exception)


def test_custom_judges_every_video(tmp_path: Path) -> None:
    film(tmp_path / "v" / "a cat-3.mp4", 10, 20)
    film(tmp_path / "v" / "deep" / "no index.webm", 0, 51)
    done = judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", *FLICKERING)
    assert done.exit_code == 0, done.output
    found = rows(tmp_path / "out")
    assert [(row["video"], row["prompt"], row["sample_seed"]) for row in found] == [
        ("a cat-3.mp4", "a cat", 3),
        ("deep/no index.webm", "no index", 0),
    ]
    assert [row["value"] for row in found] == pytest.approx([245 / 255, 0.8], abs=1e-12)
    assert set(found[0]) == {"video", "prompt", "sample_seed", "judge", "value", "weight", "note", "extra"}
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told["dimensions"]["temporal_flickering"] == pytest.approx((245 / 255 + 0.8) / 2, abs=1e-12)
    assert {"quality", "semantic", "total", "missing", "protocol"} <= set(told)


def test_what_cannot_be_judged_is_said_and_exits_with_6(tmp_path: Path) -> None:
    film(tmp_path / "v" / "good-0.mp4", 10, 20)
    (tmp_path / "v" / "bad-0.mp4").write_text("no video at all")
    (tmp_path / "v" / "empty-0.mp4").touch()
    (tmp_path / "v" / "notes.txt").touch()
    done = judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", *FLICKERING)
    assert done.exit_code == 6
    assert "2 rows could not be judged" in done.output
    assert "1 files were not asked for, the first is 'notes.txt'" in done.output
    assert [row["value"] is None for row in rows(tmp_path / "out")] == [True, True, False]
    assert all(row["note"] for row in rows(tmp_path / "out")[:2])


def test_a_second_run_changes_no_byte_and_decodes_nothing(tmp_path: Path) -> None:
    for number in range(4):
        film(tmp_path / "v" / f"x-{number}.mp4", 0, number)
    out = tmp_path / "out"
    before = {}
    for turn in range(2):
        assert judge(tmp_path / "v", out, "--mode", "custom", *FLICKERING).exit_code == 0
        after = {name: (out / name).read_bytes() for name in ("scores.jsonl", "summary.json")}
        assert not turn or after == before
        before = after
    timings = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
    assert [one["decodes"] for one in timings] == [0] * 4


def test_prompts_from_a_file(tmp_path: Path) -> None:
    film(tmp_path / "v" / "x.mp4", 1, 2)
    prompts = tmp_path / "prompts.json"
    for value in ("a dog", {"prompt": "a dog", "auxiliary_info": {"color": {"color": "red"}}}):
        prompts.write_text(json.dumps({"x.mp4": value}))
        assert judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", "--prompts", prompts, *FLICKERING).exit_code == 0
        assert rows(tmp_path / "out")[0]["prompt"] == "a dog"
    for content, why in (
        ("{", "JSON"),
        ("[1]", "must be a JSON object"),
        ('{"../y.mp4": "a"}', "no video below"),
        ('{"x": 3}', "must be"),
    ):
        prompts.write_text(content)
        assert why in refused(judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", "--prompts", prompts, *FLICKERING))


def test_a_name_that_is_no_text_is_spelled_out(tmp_path: Path) -> None:
    film(tmp_path / "v" / "x.mp4", 1, 2).rename(os.fsdecode(os.fsencode(tmp_path) + b"/v/caf\xe9-2.mp4"))
    assert judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", *FLICKERING).exit_code == 0
    assert [(row["video"], row["prompt"]) for row in rows(tmp_path / "out")] == [("caf\\xe9-2.mp4", "caf\ufffd")]


def suite(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    listed = [
        {"prompt_en": "a cat", "dimension": ["temporal_flickering"]},
        {"prompt_en": "a dog, 3-4", "dimension": ["temporal_flickering", "scene"], "auxiliary_info": {"scene": {}}},
        {"prompt_en": "a hen", "dimension": ["subject_consistency"]},
    ]
    (folder / "VBench_full_info.json").write_text(json.dumps(listed))


def test_standard_takes_its_own_files_and_lists_the_missing(tmp_path: Path) -> None:
    suite(tmp_path / "weights")
    for name in ("a cat-0", "a cat-4", "a dog, 3-4-1", "a hen-0", "a cat-5", "stranger-0"):
        film(tmp_path / "v" / f"{name}.mp4", 1, 2)
    done = judge(tmp_path / "v", tmp_path / "out", "--mode", "standard", *FLICKERING)
    assert done.exit_code == 6
    found = rows(tmp_path / "out")
    assert [row["video"] for row in found] == ["a cat-0.mp4", "a cat-4.mp4", "a dog, 3-4-1.mp4"]
    assert [row["weight"] for row in found] == [1, 1, 1]
    missing = json.loads((tmp_path / "out" / "summary.json").read_text())["missing"]
    named = [*(f"a cat-{n}" for n in (1, 2, 3)), *(f"a dog, 3-4-{n}" for n in (0, 2, 3, 4))]
    assert [one for one in missing if "a cat" in one or "a dog" in one] == [f"temporal_flickering: {name}" for name in named]
    assert "subject_consistency" in missing, "a dimension without any video is missing, and so is the total"
    assert "7 videos are missing" in done.output
    assert "3 files were not asked for" in done.output


def test_the_static_filter_counts_the_first_five_static() -> None:
    names = [f"p-{n}.mp4" for n in range(12)]
    static = {name: float(name not in ("p-1.mp4", "p-10.mp4")) for name in names}
    table = [
        {"video": name, "prompt": "p", "judge": f"vbench/{judge}", "value": value, "weight": 2.0, "note": ""}
        for name in names
        for judge, value in (("temporal_flickering", 0.5), ("static_filter", static[name]))
    ]
    counted = flickering_filter.applied(table)
    kept = [row["video"] for row in counted if row["judge"] == "vbench/temporal_flickering" and row["weight"] == 2.0]
    assert kept == ["p-0.mp4", "p-2.mp4", "p-3.mp4", "p-4.mp4", "p-11.mp4"], "the order is that of text: 0 1 10 11 2 3 4 …"
    notes = {row["video"]: row["note"] for row in counted if row["judge"] == "vbench/temporal_flickering"}
    assert notes["p-1.mp4"] == "left out: it is not static"
    assert notes["p-5.mp4"] == "left out: 5 static samples come before it"


def test_the_static_filter_looks_at_25_samples(tmp_path: Path) -> None:
    for number in (0, 7, 24, 25):
        film(tmp_path / f"a cat-{number}.mp4", 1)
    asked = Suite("vbench", (Asked("a cat", ("temporal_flickering", "scene")),))
    plan = jobs.standard(tmp_path, ["temporal_flickering", "scene"], asked, True)
    assert {job.index: set(job.dimensions) for job in plan.jobs} == {
        0: {"temporal_flickering", "scene", "static_filter"},
        7: {"temporal_flickering", "static_filter"},
        24: {"temporal_flickering", "static_filter"},
    }
    assert len(plan.missing) == 22 + 4


def test_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "obtain", lambda *_: None)  # nothing can be brought
    film(tmp_path / "v" / "x.mp4", 1, 2)
    (tmp_path / "nothing").mkdir()
    out = tmp_path / "out"
    custom = ("--mode", "custom")
    assert "no videos in" in refused(judge(tmp_path / "nothing", out, *custom, *FLICKERING))
    assert "no folder" in refused(judge(tmp_path / "absent", out, *custom, *FLICKERING))
    assert "did you mean temporal_flickering?" in refused(
        judge(tmp_path / "v", out, *custom, "--dimensions", "temporal_flicker")
    )
    without = judge(tmp_path / "v", out, *FLICKERING)
    assert isinstance(without.exception, UserError)
    assert "holds no VBench_full_info.json" in str(without.exception)
    assert "--device is cpu or cuda" in refused(judge(tmp_path / "v", out, *custom, *FLICKERING, "--device", "tpu"))
    assert "--static-filter" in refused(judge(tmp_path / "v", out, *custom, *FLICKERING, "--static-filter"))
    suite(tmp_path / "weights")
    assert "try --mode custom" in refused(judge(tmp_path / "v", out, *FLICKERING))
    missing = refused(judge(tmp_path / "v", out, *custom, "--dimensions", "subject_consistency,aesthetic_quality"))
    for word in ("3 weight files", "dino_model/dino_vitbase16_pretrain.pth", "https://dl.fbaipublicfiles.com", "--weights"):
        assert word in missing
    shutil.copy(tmp_path / "v" / "x.mp4", tmp_path / "v" / "x.webm")
    with pytest.raises(WrongUse, match="two files for one sample"):
        jobs.standard(tmp_path / "v", ["temporal_flickering"], Suite("vbench", ()), False)
    assert WrongUse.code == 2


def test_ctrl_c_loses_nothing_and_exits_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "v" / "x.mp4", 1, 2)

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_finished", stopped)
    done = judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", *FLICKERING)
    assert done.exit_code == 130
    assert "the same command goes on" in done.output
    assert not (tmp_path / "out" / "scores.jsonl").exists()


def test_a_killed_run_goes_on_and_leaves_the_same_rows_none_twice(tmp_path: Path) -> None:
    """With real workers: they end with their parent, and what they had finished is not done again."""
    for number in range(12):
        film(tmp_path / "v" / f"x-{number}.mp4", *range(60 + number))
    options = ["--mode", "custom", *FLICKERING, "--weights", str(tmp_path), "--jobs", "2"]
    line = [sys.executable, "-m", "salt_bench.cli", "judge", str(tmp_path / "v"), *options, "--out"]
    running = subprocess.Popen([*line, str(tmp_path / "out")], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "out" / "cache").glob("??/*.json")):  # written last of what is kept of a video
        time.sleep(0.01)
        assert running.poll() is None
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "out" / "scores.jsonl").exists()
    for out in ("out", "whole"):
        subprocess.run([*line, str(tmp_path / out)], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "out" / "scores.jsonl").read_bytes() == (tmp_path / "whole" / "scores.jsonl").read_bytes()
    assert len({row["video"] for row in rows(tmp_path / "out")}) == len(rows(tmp_path / "out")) == 12
    decodes = [json.loads(one)["decodes"] for one in (tmp_path / "out" / "timings.jsonl").read_text().splitlines()]
    assert 0 in decodes


def test_weights_lists_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "clip_model").mkdir()
    (tmp_path / "clip_model" / "ViT-B-32.pt").write_text("not the released bytes")
    (tmp_path / "amt_model").mkdir()
    (tmp_path / "amt_model" / "amt-s.pth").write_text("x")
    done = CliRunner().invoke(cli.app, ["weights", "--dir", str(tmp_path)])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == len(weights.TABLE)
    assert "other bytes  clip_b32" in done.output
    assert "missing      dino" in done.output
    amt = next(line for line in done.output.splitlines() if " amt " in line)
    assert amt.startswith("there")
    assert "NON-COMMERCIAL" in amt
    assert amt.endswith(hashlib.sha256(b"x").hexdigest())


def test_a_smaller_suite_asks_for_less_and_says_what_that_costs(tmp_path: Path) -> None:
    suite(tmp_path / "weights")
    film(tmp_path / "v" / "a cat-0.mp4", 10, 20)
    done = judge(tmp_path / "v", tmp_path / "out", "--size", "smoke", *FLICKERING)
    assert [row["video"] for row in rows(tmp_path / "out")] == ["a cat-0.mp4"]
    assert "temporal_flickering: 1 videos are missing" in done.output, "a dog's, of another group of rows"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["protocol"]["size"] == "smoke"
    judge(tmp_path / "v", tmp_path / "lite", "--size", "lite", *FLICKERING)
    assert "times the full suite's" in (tmp_path / "lite" / "report.md").read_text()
    judge(tmp_path / "v", tmp_path / "full", *FLICKERING)
    assert "times the full suite's" not in (tmp_path / "full" / "report.md").read_text()
    assert "--size" in refused(judge(tmp_path / "v", tmp_path / "out", "--mode", "custom", "--size", "lite", *FLICKERING))
