"""Videos on disk: the right one, frame by frame, and its bytes are its identity."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from salt_bench.samplers.replay import Replay
from salt_bench.types import Prompt

PROMPTS = [Prompt("a", "a cat", "w"), Prompt("b", "a dog", "w")]
LEVELS = np.arange(40) * 5  # frame i of a video is grey of this level, plus 30 for the dog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for more, prompt in zip((0, 30), PROMPTS, strict=True):
        with av.open(str(tmp_path / f"{prompt.text}-0.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width = stream.height = 16
            stream.pix_fmt = "bgr0"
            for grey in LEVELS + more:
                pixels = np.full((16, 16, 3), grey, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")))
            container.mux(stream.encode())
    return tmp_path


def test_clips_are_the_videos(folder: Path) -> None:
    cat, dog = Replay(str(folder)).sampler(0, folder)(PROMPTS, 0)
    assert cat.frames().shape == (40, 16, 16, 3)
    assert (cat.fps, cat.seed, dog.prompt.id) == (10.0, 0, "b")
    assert dog.frames([39, 0, 17, 17])[:, 0, 0, 0].tolist() == [225, 30, 115, 115]
    assert [len(block) for block in cat.blocks()] == [16, 16, 8]
    assert (cat.chunk, next(Replay(str(folder), chunk=5).sampler(0, folder)(PROMPTS, 0)).chunk) == (0, 5)
    assert (Replay(str(folder)).protocol(), Replay(str(folder), 5).protocol()) == ({}, {"chunk": 5})
    with pytest.raises(IndexError, match="40 frames, got the index 40"):
        cat.frames([0, 40])


def test_a_missing_video_names_the_rule(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a cat-1\.mp4.*prompt's text and sample seed"):
        list(Replay(str(folder)).sampler(0, folder)(PROMPTS, 1))


def test_the_bytes_are_the_identity(folder: Path) -> None:
    arm = Replay(str(folder))
    before = arm.evidence(0, folder)
    assert before
    assert Replay(str(folder / "nowhere")).evidence(0, folder) == ""
    (folder / "a cat-0.mkv").write_bytes((folder / "a dog-0.mkv").read_bytes())
    assert arm.evidence(0, folder) != before
