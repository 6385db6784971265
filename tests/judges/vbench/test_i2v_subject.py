"""VBench-I2V's subject: the formula by hand, what DINO sees, and the command against a straight line of library code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import films
import numpy as np
import pytest
import small_networks as tiny
import straight
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T
from typer.testing import CliRunner, Result

from salt_bench.cli import app
from salt_bench.errors import UserError, WrongUse
from salt_bench.judges.vbench import crew, dimensions, i2v_subject
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.networks import dino
from salt_bench.judges.vbench.resizing import pil_square

SETUP = Setup(Path())
HARD = (films.noise(3, 8, 10, seed=1) // 128 * 255).repeat(60, axis=1).repeat(60, axis=2)  # sharp edges, shrunk by 0.53
TENSOR = T.Compose([T.Resize(256, InterpolationMode.BICUBIC, antialias=True), T.CenterCrop(224), T.Lambda(lambda x: x / 255)])
PICTURE = T.Compose(
    [T.Resize(256, InterpolationMode.BICUBIC), T.CenterCrop(224), T.PILToTensor(), T.ToDtype(torch.float32, True)]
)
SCALE = T.Normalize(*straight.IMAGENET)


def circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return (3 * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)


def test_the_score_by_hand() -> None:
    """The image at 0: the frames are 60, 30, 130 degrees from it, and 30 and 100 from each other; below 0 counts as 0."""
    found = i2v_subject.score(circle(0)[0], circle(60, 30, 130))
    near, step = np.cos(np.radians(30)), np.cos(np.radians(30))
    assert found.value == pytest.approx(0.4 * near + 0.3 * (step + 0) / 2 + 0.3 * 0, abs=1e-6)
    assert found.weight == 1.0
    steady = i2v_subject.score(circle(0)[0], circle(60, 60, 40, 40))
    near, step = np.cos(np.radians(40)), np.cos(np.radians(20))
    assert steady.value == pytest.approx(0.4 * near + 0.3 * (2 + step) / 3 + 0.3 * step, abs=1e-6)


def test_the_nearest_frame_counts_wherever_it_is_and_steps_count_in_order() -> None:
    image, angles = circle(0)[0], (50, 40, 30, 20)
    forward = i2v_subject.score(image, circle(*angles)).value
    assert i2v_subject.score(image, circle(*angles[::-1])).value == pytest.approx(forward)
    assert i2v_subject.score(image, circle(50, 30, 40, 20)).value < forward  # type: ignore[operator]
    assert i2v_subject.score(-image, circle(*angles)).value == pytest.approx(0.6 * np.cos(np.radians(10)), abs=1e-6)


def test_a_single_frame_is_no_score() -> None:
    found = i2v_subject.score(circle(0)[0], circle(10))
    assert (found.value, found.note) == (None, "a single frame has nothing to agree with")


def shown(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What DINO gets to see."""
    seen: list[torch.Tensor] = []

    def net(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images.flatten(1)[:, :4]

    monkeypatch.setattr("salt_bench.judges.vbench.weights.locate", lambda folder, name: Path(name))
    monkeypatch.setattr(dino, "load", lambda path, device: net)
    return seen


@pytest.mark.parametrize("frames", [HARD, films.noise(2, 300, 231), films.noise(1, 256, 259), films.noise(1, 132, 470)])
def test_frames_are_shrunk_as_tensors_with_antialiasing(monkeypatch: pytest.MonkeyPatch, frames: np.ndarray) -> None:
    seen = shown(monkeypatch)
    running = i2v_subject.DinoSquares(SETUP).start(Video(Path(), 3, 8, 8, 8.0))
    assert running.take(frames)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    assert torch.allclose(seen[0], SCALE(TENSOR(pixels)), atol=1e-5)
    if frames is HARD:
        plain = T.Resize(256, InterpolationMode.BICUBIC, antialias=False)(pixels)
        assert (SCALE(T.CenterCrop(224)(plain) / 255) - seen[0]).abs().max() > 0.5, "it would show if nothing were smoothed"
        assert seen[0].max() > SCALE(torch.ones(1, 3, 1, 1)).max() + 0.1, "overshoot is kept"


@pytest.mark.parametrize("size", [(480, 600), (300, 231), (256, 259), (132, 470)])
def test_the_image_is_shrunk_by_pil(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: tuple[int, int]) -> None:
    seen = shown(monkeypatch)
    picture = Image.fromarray(films.noise(1, *size, seed=2)[0])
    picture.save(tmp_path / "x.png")
    video = Video(Path(), 3, 8, 8, 8.0, image=tmp_path / "x.png")
    found = i2v_subject.InputImage(SETUP).start(video).result()
    want = SCALE(PICTURE(picture))
    assert torch.allclose(seen[0][0], want, atol=1e-5)
    assert found["image"] == pytest.approx(want.flatten()[:4].numpy(), abs=1e-5), "one vector, not a batch of one"


def test_an_image_of_another_kind_is_made_rgb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = shown(monkeypatch)
    Image.new("LA", (300, 280), (100, 7)).save(tmp_path / "x.png")
    i2v_subject.InputImage(SETUP).start(Video(Path(), 3, 8, 8, 8.0, image=tmp_path / "x.png")).result()
    assert torch.allclose(seen[0][0], SCALE(torch.full((3, 224, 224), 100 / 255)), atol=1e-5)


def test_what_an_image_was_is_known_by_its_bytes(tmp_path: Path) -> None:
    video = Video(Path(), 3, 8, 8, 8.0, image=tmp_path / "x.png")
    keys = set()
    for seed in (0, 0, 1):
        Image.fromarray(films.noise(1, seed=seed)[0]).save(tmp_path / "x.png")
        keys.add(i2v_subject.InputImage.reads(video))
    assert len(keys) == 2


# ------------------------------------------------------------------------------------------------------------ the command


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "judge_all", lambda engine, jobs, workers: map(engine, jobs))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("weights"))


def judge(videos: Path, weights: Path, out: Path, *options: object) -> Result:
    where = ["--suite", "vbench_i2v", "--weights", weights, "--out", out, "--dimensions", "i2v_subject"]
    return CliRunner().invoke(app, [str(word) for word in ("judge", videos, *where, *options)])


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def picture(path: Path, frame: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path)
    return path


def straight_line(path: Path, image: Path) -> float:
    """The description, one frame at a time."""
    net = straight.dino(tiny.dino(), tiny.DINO_WIDTH, tiny.DINO_DEPTH)
    near, steps, before = [], [], None
    with torch.no_grad():
        first = net(SCALE(PICTURE(Image.open(image).convert("RGB")))[None])
        for frame in straight.frames(path)[0]:
            feature = net(SCALE(TENSOR(straight.pixels(frame))))
            near.append(max(0.0, F.cosine_similarity(first, feature).item()))
            steps += [] if before is None else [max(0.0, F.cosine_similarity(before, feature).item())]
            before = feature
    return 0.4 * max(near) + 0.3 * sum(steps) / len(steps) + 0.3 * min(steps)


def test_custom_finds_images_by_the_video_the_prompt_and_the_file_of_prompts(tmp_path: Path, weights: Path) -> None:
    videos, out = tmp_path / "v", tmp_path / "out"
    film = films.drift(35, 150, 200, speed=9)  # more than a block
    for name in ("a-0.mp4", "a-1.mp4", "b.mp4"):
        films.write(videos / name, film[: 35 if name == "a-0.mp4" else 4], "libx264", "yuv420p")
    own = picture(tmp_path / "i" / "a-0.png", film[5])
    shared = picture(tmp_path / "i" / "a.jpg", film[9, :, :150])
    told = picture(tmp_path / "else" / "c.png", films.noise(1, 300, 280)[0])
    (tmp_path / "p.json").write_text(json.dumps({"b.mp4": {"prompt": "b", "image": "else/c.png"}}))
    done = judge(videos, weights, out, "--mode", "custom", "--images", tmp_path / "i", "--prompts", tmp_path / "p.json")
    assert done.exit_code == 0, done.output
    found = {row["video"]: row["value"] for row in rows(out)}
    images = {"a-0.mp4": own, "a-1.mp4": shared, "b.mp4": told}
    assert found == pytest.approx({name: straight_line(videos / name, image) for name, image in images.items()}, abs=1e-6)
    assert len(set(found.values())) == 3
    picture(own, films.noise(1, 300, 280)[0])
    again = judge(videos, weights, out, "--mode", "custom", "--images", tmp_path / "i", "--prompts", tmp_path / "p.json")
    assert again.exit_code == 0
    after = {row["video"]: row["value"] for row in rows(out)}
    assert after["a-0.mp4"] == pytest.approx(straight_line(videos / "a-0.mp4", own), abs=1e-6)
    assert after["a-0.mp4"] != found["a-0.mp4"]
    assert after["a-1.mp4"] == found["a-1.mp4"]


def suite(weights: Path) -> None:
    rows = [
        {"prompt_en": "a cat", "dimension": ["i2v_subject", "aesthetic_quality"], "image_name": "the cat.jpg"},
        {"prompt_en": "a cat, camera pans left", "dimension": ["camera_motion"], "image_name": "the cat.jpg"},
        {"prompt_en": "a dog", "dimension": ["i2v_subject"], "image_name": "dog.jpg"},
    ]
    (weights / "vbench2_i2v_full_info.json").write_text(json.dumps(rows))


def test_standard_takes_the_images_of_its_rows_and_says_which_is_missing(tmp_path: Path, weights: Path) -> None:
    suite(weights)
    videos, out = tmp_path / "v", tmp_path / "out"
    for name in ("a cat-0", "a dog-0", "a cat, camera pans left-0"):
        films.write(videos / f"{name}.mp4", films.drift(3), "libx264", "yuv420p")
    image = picture(tmp_path / "i" / "crop" / "1-1" / "the cat.jpg", films.noise(1, 300, 280)[0])
    (tmp_path / "i" / "crop" / "16-9").mkdir()
    done = judge(videos, weights, out, "--images", tmp_path / "i", "--ratio", "1-1")
    assert done.exit_code == 6
    cat, dog = rows(out)
    assert cat["value"] == pytest.approx(straight_line(videos / "a cat-0.mp4", image), abs=1e-6)
    assert (dog["value"], dog["note"]) == (None, "no input image 'dog.jpg': give the folder that holds it by --images")
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["benchmark"], summary["protocol"]["suite"]) == ("vbench_i2v", "vbench_i2v")
    assert summary["dimensions"] == {"i2v_subject": pytest.approx(cat["value"])}
    assert {"camera_motion", "i2v_background"} <= set(summary["missing"])
    (image.parent / "dog.jpg").write_text("no picture")
    assert judge(videos, weights, out, "--images", tmp_path / "i" / "crop", "--ratio", "1-1").exit_code == 6
    assert rows(out)[1]["note"].startswith("its input image 'dog.jpg' is not readable: cannot identify image file")


def test_total_takes_what_is_judged_elsewhere_from_official_files(tmp_path: Path) -> None:
    ours = [
        {"judge": f"vbench/{name}", "prompt": "a cat", "sample_seed": 0, "video": "a cat-0.mp4", "value": value, "weight": 1.0}
        for name, value in (("i2v_subject", 0.9), *((name, 0.8) for name in dimensions.I2V[1:] if name != "imaging_quality"))
    ]
    ours += [dict(ours[0], judge="vbench/imaging_quality", value=80.0)]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ours))
    video = {"video_path": "v/a cat, camera pans left-0.mp4", "video_results": True}
    (tmp_path / "c_eval_results.json").write_text(json.dumps({"camera_motion": [0.5, {"camera_pans": 0.5}, [video]]}))
    background = {"i2v_background": [0.7, [{"video_path": "v/a barn-0.mp4", "video_results": 0.7}]]}
    (tmp_path / "b_eval_results.json").write_text(json.dumps(background))
    files = [str(tmp_path / name) for name in ("scores.jsonl", "c_eval_results.json", "b_eval_results.json")]
    done = CliRunner().invoke(app, ["total", *files, "--benchmark", "vbench_i2v"])
    assert done.exit_code == 0, done.output
    table = {line.split()[0]: line.split()[1] for line in done.output.splitlines() if len(line.split()) > 1}
    i2v = (0.1 * 0.5 + (0.9 - 0.1462) / 0.8538 + (0.7 - 0.2615) / 0.7385) / 2.1
    spans = {"subject_consistency": 0.1462, "background_consistency": 0.2615}
    parts = [(0.8 - low) / (1 - low) for low in spans.values()] + [(0.8 - 0.706) / 0.2915, 0.5 * 0.8, 0.8, 0.8]
    assert table["i2v_score"] == f"{100 * i2v:.2f}"
    assert table["quality"] == f"{100 * sum(parts) / 5.5:.2f}"
    assert table["total"] == f"{50 * (i2v + sum(parts) / 5.5):.2f}"


def test_which_dimensions_there_are() -> None:
    assert dimensions.usual("vbench_i2v") == [
        "i2v_subject",
        "subject_consistency",
        "background_consistency",
        "temporal_flickering",
        "dynamic_degree",
        "aesthetic_quality",
        "imaging_quality",
    ]
    dimensions.check(["motion_smoothness"], "vbench_i2v")
    assert "i2v_subject" not in dimensions.usual()
    with pytest.raises(WrongUse, match="camera_motion is not judged here: give its official result to `salt-bench total"):
        dimensions.check(["camera_motion"], "vbench_i2v")
    with pytest.raises(WrongUse, match="no dimension 'scene' of vbench_i2v"):
        dimensions.check(["scene"], "vbench_i2v")


def test_wrong_use(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films.write(tmp_path / "v" / "a.mp4", films.drift(2), "libx264", "yuv420p")
    (tmp_path / "i" / "crop" / "1-1").mkdir(parents=True)

    def said(*options: object) -> str:
        error = judge(tmp_path / "v", weights, tmp_path / "out", "--mode", "custom", *options).exception
        assert isinstance(error, WrongUse)
        return str(error)

    assert "give their folder by --images" in said()
    assert "no folder of images" in said("--images", tmp_path / "absent")
    assert "at several ratios: choose with --ratio, one of 1-1" in said("--images", tmp_path / "i")
    assert "no images at --ratio 16-9" in said("--images", tmp_path / "i", "--ratio", "16-9")
    assert "--static-filter" in said("--images", tmp_path / "v", "--static-filter")
    assert "are for --suite vbench_i2v" in said("--images", tmp_path / "i", "--suite", "vbench", "--dimensions", "scene")
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    (weights / "vbench2_i2v_full_info.json").unlink(missing_ok=True)
    lacking = judge(tmp_path / "v", weights, tmp_path / "out", "--images", tmp_path / "v").exception
    assert isinstance(lacking, UserError)
    assert "--from PATH` with a copy" in str(lacking)


def test_a_square_is_cut_from_the_middle() -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    square = pil_square(Image.fromarray(np.ascontiguousarray(ramp)), 256, 224)
    assert square.shape == (224, 224, 3)
    assert square[0, [0, -1], 0].tolist() == [16, 239]
