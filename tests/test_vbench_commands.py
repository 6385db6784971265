"""`salt-bench total` and `salt-bench data vbench`, as a user runs them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from salt_bench import cli
from salt_bench.composites.vbench_total import QUALITY, SCHEME
from salt_bench.prompts import data

ROOT = Path(__file__).parent
VIDEOCRAFTER = [96.85, 98.22, 98.41, 97.73, 42.50, 63.13, 67.22, 92.55, 40.66, 95.00, 92.92, 35.86, 55.29, 25.13, 25.84, 28.23]


def salt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str, str]:
    """Exit code, and what was said on both streams."""
    monkeypatch.setattr(sys, "argv", ["salt-bench", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0), *capsys.readouterr()


def rows(path: Path, lift: float = 0.0, without: str = "") -> Path:
    """Three prompts for each dimension, two videos each, around VideoCrafter-2.0's scores."""
    made = [
        {"judge": f"vbench/{name}", "prompt": f"p{p}", "sample_seed": i, "value": scale * (raw / 100 + 0.01 * (p - 1) + lift)}
        for name, raw in zip(SCHEME.dimensions, VIDEOCRAFTER, strict=True)
        if name != without
        for scale in (100.0 if name == "imaging_quality" else 1.0,)
        for p in range(3)
        for i in range(2)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, made)))
    return path


def line(out: str, start: str) -> str:
    return next(one for one in out.splitlines() if one.startswith(start))


def test_total_of_a_published_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, raw in zip(SCHEME.dimensions, VIDEOCRAFTER, strict=True):
        (tmp_path / f"{name}_eval_results.json").write_text(json.dumps({name: [raw / 100, []]}))
    code, out, _ = salt(capsys, monkeypatch, "total", tmp_path)
    assert code == 0
    assert [line(out, name).split()[1] for name in SCHEME.composites] == ["82.20", "73.42", "80.44"]
    assert "no interval for quality, semantic, total" in out


def test_total_says_how_sure_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = salt(capsys, monkeypatch, "total", rows(tmp_path / "scores.jsonl"), "--aggregate", "one-process")
    assert code == 0
    assert out.startswith("vbench, one-process")
    # Prompts at -0.01, 0 and 0.01: a standard error of 0.01/√3, Student's t with two degrees of freedom.
    assert line(out, "color").split()[1:4] == ["92.92", "[90.44,", "95.40]"]
    assert line(out, "total").split()[1] == "80.44"
    assert "not the full suite" in out
    assert "3 of 72 prompts" in out
    assert "found with 80% power" in out


def test_total_without_a_dimension_is_missing_and_is_6(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = salt(capsys, monkeypatch, "total", rows(tmp_path / "scores.jsonl", without="scene"))
    assert code == 6
    assert line(out, "total ").split()[1] == line(out, "semantic ").split()[1] == "missing"
    assert line(out, "quality").split()[1] == "82.20"
    assert "total is missing, for want of scene" in out
    assert "missing: scene: no score of it" in out


def test_total_of_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    better, plain = rows(tmp_path / "a" / "scores.jsonl", lift=0.01), rows(tmp_path / "b" / "scores.jsonl")
    (tmp_path / "a" / "summary.json").write_text('{"protocol": {"fps": 16, "suite": "vbench"}}')
    (tmp_path / "b" / "summary.json").write_text('{"protocol": {"fps": 24, "suite": "vbench"}}')
    code, out, _ = salt(capsys, monkeypatch, "total", tmp_path / "a", "--against", plain)
    assert code == 0
    below = out.split("minus --against")[1]
    expected = 100 * 0.01 * sum(SCHEME.slopes("quality").values())
    assert line(below, "quality").split()[1] == f"{expected:.2f}"
    assert "measured differently: fps" in below
    swapped = salt(capsys, monkeypatch, "total", plain, "--against", better)[1].split("minus --against")[1]
    assert line(swapped, "quality").split()[1] == f"{-expected:.2f}"


def test_total_names_wrong_use_and_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = salt(capsys, monkeypatch, "total", tmp_path / "nowhere.json")
    assert (code, err.splitlines()) == (2, [f"salt-bench: no such file or folder: {tmp_path / 'nowhere.json'}"])
    (tmp_path / "x_eval_results.json").write_text("{")
    code, _, err = salt(capsys, monkeypatch, "total", tmp_path)
    assert code == 5
    assert "x_eval_results.json is damaged or no JSON" in err
    assert salt(capsys, monkeypatch, "total", tmp_path, "--aggregate", "both")[0] == 2
    assert salt(capsys, monkeypatch, "total")[0] == 2


def test_total_of_another_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {name: [0.9, []] for name in (*QUALITY, "camera_motion", "i2v_subject", "i2v_background")}
    file = tmp_path / "x_eval_results.json"
    file.write_text(json.dumps(scores))
    code, out, _ = salt(capsys, monkeypatch, "total", file, "--benchmark", "vbench_i2v")
    assert code == 0
    assert line(out, "i2v_score").split()[1] == f"{100 * (0.09 + (0.9 - 0.1462) / 0.8538 + (0.9 - 0.2615) / 0.7385) / 2.1:.2f}"
    code, _, err = salt(capsys, monkeypatch, "total", file)
    assert code == 5
    assert "no result of vbench: it has no dimension 'camera_motion'" in err


def test_data_comes_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    official = ROOT.parent.parent / "shared" / "data" / "vbench"
    if not official.is_dir():
        pytest.skip(f"VBench's own data is not at {official}")
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    code, out, _ = salt(capsys, monkeypatch, "data", "vbench", "--from", official)
    assert code == 0
    assert "Apache License 2.0" in out
    assert "arXiv 2311.17982" in out
    assert data.find(data.VBENCH) == tmp_path / "cache" / "vbench" / "VBench_full_info.json"
    code, out, _ = salt(capsys, monkeypatch, "data", "vbench", "--from", official, "--cache", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "VBench_full_info.json").is_file()
    assert salt(capsys, monkeypatch, "data", "vbench", "--from", tmp_path / "nowhere")[0] == 2


def test_missing_says_what_a_folder_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt_en": f"cat {n}", "dimension": ["scene"], "auxiliary_info": {"scene": {}}} for n in range(4)]
    (tmp_path / "cache" / "vbench").mkdir(parents=True)
    (tmp_path / "cache" / "vbench" / "VBench_full_info.json").write_text(json.dumps(rows))
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "v").mkdir()
    for n in range(0, 4, 2):
        (tmp_path / "v" / f"cat {n}-0.mp4").write_bytes(b"")
    code, out, _ = salt(capsys, monkeypatch, "missing", tmp_path / "v", "--size", "lite")
    assert (code, out.splitlines()) == (0, ["2 of 2 videos are there"])
    code, out, _ = salt(capsys, monkeypatch, "missing", tmp_path / "v", "--most", "2")
    assert code == 6
    assert out.splitlines()[0] == "2 of 20 videos are there"
    assert "scene: 18 missing: " in out
    assert "cat 0-1" in out
    assert salt(capsys, monkeypatch, "missing", tmp_path / "nowhere")[0] == 2
    assert salt(capsys, monkeypatch, "missing", tmp_path / "v", "--dimensions", "scent")[0] == 2
