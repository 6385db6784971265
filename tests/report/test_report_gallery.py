"""Strips come apart into the frames that they were made of, and nothing outside the folder is read."""

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from synthetic_study import write_study

from salt_bench.report import figures
from salt_bench.report.gallery import Gallery
from salt_bench.report.source import Source


def _gallery(folder: Path, pixels: np.ndarray, **changes: object) -> Gallery | None:
    (folder / "one").mkdir(parents=True)
    Image.fromarray(np.concatenate(list(pixels), axis=1)).save(folder / "one" / "p.png")
    count, height, width, _ = pixels.shape
    index = {"fps": 8, "frames": count, "size": [height, width], "arms": {"B": "none", "A": "one"}, "prompts": {"p": "text"}}
    index |= {"setting": "4 steps", "train_seed": 0, "sample_seed": 0, **changes}
    (folder / "index.json").write_text(json.dumps(index))
    return Gallery.read(folder, ("A",))


def test_a_strip_gives_its_frames_back_in_order(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    gallery = _gallery(tmp_path, frames)
    assert gallery is not None
    clip = gallery.clip("one", "p")
    assert clip is not None
    np.testing.assert_array_equal(gallery.frames(clip), frames)
    assert [a.name for a in gallery.arms] == ["A", "B"]
    assert gallery.clip("none", "p") is None
    assert list(gallery.strips) == [("one", "p")]


def test_a_strip_of_another_length_is_refused(tmp_path: Path) -> None:
    gallery = _gallery(tmp_path, np.zeros((5, 6, 4, 3), np.uint8), frames=4)
    assert gallery is not None
    with pytest.raises(ValueError, match="4 frames of 6×4 side by side expected"):
        gallery.frames(tmp_path / "one" / "p.png")


@pytest.mark.parametrize("change", [{"arms": {"A": "../.."}}, {"prompts": {"a/b": "text"}}])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="one plain file name"):
        _gallery(tmp_path, np.zeros((2, 6, 4, 3), np.uint8), **change)


def test_without_an_index_there_is_no_gallery(tmp_path: Path) -> None:
    assert Gallery.read(tmp_path, ()) is None


def test_the_users_matplotlib_settings_change_nothing_and_come_back(tmp_path: Path) -> None:
    source = Source.read(write_study(tmp_path / "s", test_prompts=4))
    plain = figures.draw(source, None)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        assert figures.draw(source, None) == plain
        assert matplotlib.rcParams["font.size"] == 30
    assert set(plain) == {"effects", "pareto", "defect", "cross-step", "steps", "sweep-1"}
