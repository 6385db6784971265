"""How frames come to GRiT and what is kept of them, with a small random network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from salt_bench.judges.vbench import detections
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.detections import Detections, Instance, Looking, OpenCVDetections, in_bytes, in_float, target
from salt_bench.judges.vbench.networks import wordpiece
from salt_bench.judges.vbench.networks.grit import miniature
from salt_bench.judges.vbench.networks.grit.model import Seen


def pixels(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def video(frames: int = 40, height: int = 64, width: int = 96) -> Video:
    return Video(Path("x.mp4"), frames, height, width, 8.0)


@pytest.mark.parametrize("scaled", [in_float, in_bytes])
def test_frames_up_to_768_keep_their_size(scaled: detections.Callable) -> None:
    frames = pixels(1, 768, 800)
    assert torch.equal(scaled(frames), torch.from_numpy(frames).permute(0, 3, 1, 2).float())


def test_large_frames_are_brought_to_720_and_cut() -> None:
    assert target(1080, 1920) == (720, 1280)
    assert target(1000, 777) == (int(1000 * (720 / 777)), 720)
    assert target(769, 1024) == (720, 958)


def test_tensors_are_filtered_and_not_rounded() -> None:
    from torchvision.transforms import Resize

    frames = pixels(1, 771, 800)
    theirs = Resize(target(771, 800))(torch.from_numpy(frames).permute(0, 3, 1, 2).float())
    assert torch.allclose(in_float(frames), theirs, atol=1e-4)
    assert not torch.equal(theirs, theirs.round())


def test_opencv_rounds_and_differs() -> None:
    import cv2

    frames = pixels(2, 771, 800)
    found = in_bytes(frames)
    height, width = target(771, 800)
    assert found.shape == (2, 3, height, width)
    assert np.array_equal(found[1].permute(1, 2, 0).numpy(), cv2.resize(frames[1], (width, height)))
    assert (found - in_float(frames)).abs().max() > 10


def test_sixteen_frames_are_looked_at() -> None:
    for kind in (Detections, OpenCVDetections):
        assert len(kind(Setup(Path())).chosen(video(40)) or ()) == 16
    assert list(Detections(Setup(Path())).chosen(video(3))) == [0, 1, 2, *[2] * 13]


def test_frames_that_repeat_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detections, "AT_ONCE", 2)
    looks: list[int] = []

    def look(frames: np.ndarray) -> Sequence[list[Instance]]:
        looks.append(len(frames))
        return [[Instance((0, 0, 1, 1), 1.0, f"{frame[0, 0, 0]}", "")] for frame in frames]

    frames = np.zeros((7, 4, 4, 3), np.uint8) + np.array([3, 3, 5, 6, 7, 7, 3], np.uint8)[:, None, None, None]
    running = Looking(look)  # type: ignore[arg-type]
    assert running.take(frames[:1])
    assert running.take(frames[1:5])
    assert running.take(frames[5:])
    found = running.result()
    assert found["name"].tolist() == ["3", "3", "5", "6", "7", "7", "3"]
    assert found["frame"].tolist() == list(range(7))
    assert looks == [1, 2, 1, 1]


def test_boxes_are_cut_and_names_and_descriptions_are_kept_apart(tmp_path: Path) -> None:
    wordpiece.write_small(tmp_path / detections.VOCABULARY)
    network = detections.Network(tmp_path, "cpu", in_float)
    red, cat = (network.words.encode(word)[1] for word in ("red", "cat"))
    seen = Seen(torch.tensor([[1.9, 2.5, 30.99, 4.0]]), torch.tensor([0.75]), torch.tensor([[cat, 102]]), torch.tensor([[red]]))
    assert list(network._instances(seen)) == [Instance((1, 2, 30, 4), 0.75, "cat", "red")]


def test_a_pass_sees_named_things_and_forgets_nothing_between_videos(tmp_path: Path) -> None:
    miniature.write(tmp_path / detections.WEIGHTS)
    wordpiece.write_small(tmp_path / detections.VOCABULARY)
    one, frames = Detections(Setup(tmp_path)), pixels(3, 128, 192)
    results = []
    for blocks in ([frames], [frames[:1], frames[1:]]):
        running = one.start(video())
        for block in blocks:
            running.take(block)
        results.append(running.result())
    assert results[0]["frames"] == 3
    assert len(results[0]["box"]) > 0
    assert results[0]["box"].dtype == np.int64
    assert (results[0]["box"] >= 0).all()
    assert (results[0]["box"] <= (192, 128, 192, 128)).all()
    assert any(results[0]["name"])
    assert (results[0]["score"] > 0.5).all()
    assert (np.diff(results[0]["score"])[np.diff(results[0]["frame"]) == 0] <= 0).all(), "best first"
    assert results[0].keys() == results[1].keys()
    assert results[0]["name"].tolist() == results[1]["name"].tolist()
    assert np.array_equal(results[0]["box"], results[1]["box"])
    opencv = OpenCVDetections(Setup(tmp_path)).start(video())
    assert opencv.result()["frames"] == 0
    assert opencv.take(frames)
    assert np.array_equal(opencv.result()["box"], results[0]["box"])
