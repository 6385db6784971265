"""Decoding: lossless films come back byte for byte, odd ones as defined, damaged ones with a reason."""

from __future__ import annotations

import warnings
from pathlib import Path

import av
import films
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from salt_bench.judges.vbench import decode
from salt_bench.judges.vbench.base import Refused


def read(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    with decode.opened(path) as film:
        frames = np.concatenate([block[size] for block in film.blocks([size])])
        assert size or frames.shape[1:3] == (film.height, film.width)
        assert len(frames) == film.frames
        return frames


@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 70])
def test_every_frame_comes_once_in_order_whatever_the_block(tmp_path: Path, count: int) -> None:
    frames = films.noise(count)
    assert np.array_equal(read(films.write(tmp_path / "x.mkv", frames)), frames)


@pytest.mark.parametrize("shape", [(17, 31), (1, 1), (2, 300)])
def test_odd_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    frames = films.noise(3, *shape)
    assert np.array_equal(read(films.write(tmp_path / "x.mkv", frames)), frames)


def test_large_frames_come_in_small_blocks(tmp_path: Path) -> None:
    path = films.write(tmp_path / "x.mkv", np.zeros((30, 1080, 1920, 3), np.uint8))
    with decode.opened(path) as film:
        assert [len(block[None]) for block in film.blocks([None])] == [5] * 6


def test_full_chroma_and_half_chroma(tmp_path: Path) -> None:
    flat = np.full((3, 32, 32, 3), 100, np.uint8)
    for pixels in ("yuv420p", "yuv422p", "yuv444p"):
        found = read(films.write(tmp_path / f"{pixels}.mp4", flat, "libx264", pixels))
        assert np.abs(found.astype(int) - 100).max() <= 3


def test_a_film_knows_its_rate_and_is_certain_of_its_length(tmp_path: Path) -> None:
    with decode.opened(films.write(tmp_path / "x.mp4", films.drift(7), "libx264", "yuv420p", fps=24)) as film:
        assert (film.frames, film.fps, film.certain, film.notes) == (7, 24.0, True, ())


def test_uneven_times_show_each_frame_once(tmp_path: Path) -> None:
    frames = films.noise(5)
    path = films.write(tmp_path / "x.mkv", frames, times=[0, 10, 15, 70, 80])
    assert np.array_equal(read(path), frames)


def test_ten_bits_are_brought_to_eight_and_it_is_said(tmp_path: Path) -> None:
    found = read(films.deep(tmp_path / "x.mkv", 126))
    assert np.abs(found.astype(int) - round((126 - 16) * 255 / 219)).max() <= 1
    with decode.opened(tmp_path / "x.mkv") as film:
        assert film.notes == ("10-bit video, brought to 8 bit",)


def test_a_turned_film_stands_as_a_player_shows_it(tmp_path: Path) -> None:
    frames = np.zeros((2, 48, 96, 3), np.uint8)
    frames[:, :16, :16] = 255  # top left; a quarter clockwise brings it to the top right
    path = films.turned(films.write(tmp_path / "x.mp4", frames, "libx264", "yuv420p"))
    found = read(path)
    assert found.shape == (2, 96, 48, 3)
    assert found[0, 4, -4].min() > 200
    assert max(found[0, 4, 4].max(), found[0, -4, 4].max(), found[0, -4, -4].max()) < 50
    assert read(path, (40, 20)).shape == (2, 20, 40, 3), "the filter works on the frame as it is stored"


def test_gif(tmp_path: Path) -> None:
    images = [Image.new("P", (20, 10), number) for number in (1, 2, 3)]
    for image in images:
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    images[0].save(tmp_path / "x.gif", save_all=True, append_images=images[1:], duration=250)
    found = read(tmp_path / "x.gif")
    assert found[:, 0, 0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    with decode.opened(tmp_path / "x.gif") as film:
        assert film.fps == 4.0


def test_the_filter_is_bilinear_and_not_the_library_default(tmp_path: Path) -> None:
    frames = films.drift(3, 96, 128)
    path = films.write(tmp_path / "x.mp4", frames, "libx264", "yuv420p")
    found = read(path, (384, 384))
    assert found.shape == (3, 384, 384, 3)
    columns = found[0, 200].astype(int)
    steps = np.abs(np.diff(columns, axis=0)).max()
    assert steps <= 8, "bilinear: three-fold stretching of a smooth picture has no jumps"
    both = {}
    with decode.opened(path) as film:
        for block in film.blocks([None, (384, 384)]):
            both = block
    assert np.array_equal(both[(384, 384)], found)
    assert np.array_equal(both[None], read(path)), "the scaler leaves the frame itself alone"


def test_the_filter_goes_in_straight_lines_and_keeps_the_channels(tmp_path: Path) -> None:
    """An edge of 64 and 192, enlarged four-fold: bilinear stays between, bicubic overshoots; torch's bilinear agrees."""
    frames = np.full((2, 32, 32, 3), 64, np.uint8)
    frames[:, :, 16:, 0], frames[:, 16:, :, 2] = 192, 192
    found = read(films.write(tmp_path / "x.mkv", frames), (128, 128))
    wanted = F.interpolate(torch.from_numpy(frames).permute(0, 3, 1, 2).float(), (128, 128), mode="bilinear")
    assert (int(found.min()), int(found.max())) == (64, 192)
    assert np.abs(found - wanted.permute(0, 2, 3, 1).numpy()).max() <= 2


@pytest.mark.parametrize(
    "name", ["a-0.mp4", "ü ∑ 日本.mp4", "-x.mp4", "%03d.mp4", "http:x.mp4", "q\"u'o;$(te).mp4", "line\nend.mp4"]
)
def test_any_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    films.write(tmp_path / "plain.mkv", films.noise(2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(Path(name))) == 2


def refusal(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        read(path)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


def test_what_is_no_video_is_refused_with_a_reason(tmp_path: Path) -> None:
    contents = {"empty": b"", "text": b"hello, this is no video\n" * 50, "list": b"#EXTM3U\n#EXTINF:1,\nplain.mkv\n"}
    films.write(tmp_path / "plain.mkv", films.noise(2))
    contents["concat"] = b"ffconcat version 1.0\nfile plain.mkv\n"
    for name, content in contents.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    assert "0 bytes" in refusal(tmp_path / "empty.mp4")
    for name in ("text", "list", "concat"):
        assert "not a readable video" in refusal(tmp_path / f"{name}.mp4")
    assert "No such file" in refusal(tmp_path / "absent.mp4")


def test_a_truncated_film_is_refused_and_not_scored_on_its_first_half(tmp_path: Path) -> None:
    path = films.write(tmp_path / "x.mp4", films.noise(20), "libx264", "yuv420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cut off: the last" in refusal(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    assert "holds no video" in refusal(path)


def test_a_size_that_changes_on_the_way_is_refused(tmp_path: Path) -> None:
    parts = [films.write(tmp_path / f"{n}.h264", films.noise(3, n, n), "libx264", "yuv420p", form="h264") for n in (64, 32)]
    (tmp_path / "x.h264").write_bytes(b"".join(part.read_bytes() for part in parts))
    assert "frame 3 is 32 x 32, the first is 64 x 64" in refusal(tmp_path / "x.h264")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("fuzz")
    path = films.write(folder / "x.mp4", films.drift(6, 48, 64), "libx264", "yuv420p")
    return folder / "damaged.mp4", path.read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_frames_or_a_reason(small: tuple[Path, bytes], data: st.DataObject) -> None:
    path, whole = small
    content = bytearray(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    if content:
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=12)):
            content[place] = value
    path.write_bytes(bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count, reason = outcome(path)
    assert count > 0 or reason
    assert "\n" not in reason


def outcome(path: Path) -> tuple[int, str]:
    try:
        with decode.opened(path) as film:
            return sum(len(block[None]) for block in film.blocks([None, (16, 16)])), ""
    except Refused as reason:
        return 0, str(reason)
