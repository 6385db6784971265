"""One decode for all: who gets which frames, when it ends, and what a broken pass or file costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import films
import numpy as np
import pytest

from salt_bench.errors import UserError
from salt_bench.judges.vbench import decode, looking
from salt_bench.judges.vbench.base import Found, Pass, Refused, Running, Video, middle

FRAMES = films.noise(70)


class Kept(Running):
    def __init__(self, most: int) -> None:
        self.most, self.frames = most, np.zeros((0, 32, 48, 3), np.uint8)

    def take(self, frames: np.ndarray) -> bool:
        assert len(frames), "a pass is never shown nothing"
        self.frames = np.concatenate([self.frames, frames])
        return len(self.frames) < self.most

    def result(self) -> Found:
        return {"frames": self.frames}


class Keep(Pass):
    """Keeps what it chose, until it has `most`."""

    name: ClassVar[str] = "keep"

    def __init__(self, picks: Sequence[int] | None = None, most: int = 10**9) -> None:
        super().__init__(Path())
        self.picks, self.most = picks, most

    def chosen(self, video: Video) -> Sequence[int] | None:
        return self.picks

    def start(self, video: Video) -> Running:
        return Kept(self.most)


class KeepMiddle(Keep):
    name: ClassVar[str] = "middle"

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, 8)


class Small(Keep):
    name: ClassVar[str] = "small"
    size: ClassVar[tuple[int, int] | None] = (8, 12)

    def start(self, video: Video) -> Running:
        kept = Kept(self.most)
        kept.frames = np.zeros((0, 8, 12, 3), np.uint8)
        return kept


class Broken(Keep):
    name: ClassVar[str] = "broken"

    def start(self, video: Video) -> Running:
        raise ZeroDivisionError("by zero")


class Picky(Keep):
    name: ClassVar[str] = "picky"

    def start(self, video: Video) -> Running:
        raise Refused("too small for me")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    return Video(films.write(tmp_path_factory.mktemp("films") / "x.mkv", FRAMES), 0, 0, 0, 0.0)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry per frame that was decoded."""
    seen: list[int] = []
    original = decode._decoded

    def counting(path: Path) -> Iterator[object]:
        for number, picture in enumerate(original(path)):
            seen.append(number)
            yield picture

    monkeypatch.setattr(decode, "_decoded", counting)
    return seen


@pytest.mark.parametrize("picks", [None, [0], [69], [31, 32, 33], [0, 0, 5, 5, 5, 69, 69], list(range(0, 70, 3))])
def test_a_pass_gets_the_frames_that_it_chose(video: Video, picks: list[int] | None) -> None:
    seen = looking.see(video, lambda _: [Keep(picks)])
    assert np.array_equal(seen.found["keep"]["frames"], FRAMES if picks is None else FRAMES[picks])
    assert seen.decodes == 1
    assert (seen.video.frames, seen.video.height, seen.video.width) == (70, 32, 48)


def test_many_passes_share_one_decode(video: Video, decoded: list[int]) -> None:
    seen = looking.see(video, lambda _: [Keep(), KeepMiddle(), Small()])
    assert decoded == list(range(70))
    assert np.array_equal(seen.found["middle"]["frames"], FRAMES[list(middle(70, 8))])
    assert seen.found["small"]["frames"].shape == (70, 8, 12, 3)
    assert np.array_equal(seen.found["keep"]["frames"], FRAMES)


def test_a_short_film_repeats_its_last_frame(tmp_path: Path) -> None:
    short = Video(films.write(tmp_path / "x.mkv", FRAMES[:3]), 0, 0, 0, 0.0)
    found = looking.see(short, lambda _: [KeepMiddle()]).found["middle"]["frames"]
    assert np.array_equal(found, FRAMES[[0, 1, 2, 2, 2, 2, 2, 2]])


def test_decoding_stops_where_nobody_wants_more(tmp_path: Path, decoded: list[int]) -> None:
    """In an mp4, whose length is certain before the end."""
    path = films.write(tmp_path / "x.mp4", FRAMES, "libx264", "yuv420p")
    seen = looking.see(Video(path, 0, 0, 0, 0.0), lambda _: [Keep(most=5), Keep([2, 3])])
    assert len(decoded) < 40
    assert len(seen.found["keep"]["frames"])


def test_a_pass_that_looks_at_nothing_needs_no_frame(tmp_path: Path, decoded: list[int]) -> None:
    path = films.write(tmp_path / "x.mp4", FRAMES, "libx264", "yuv420p")
    assert looking.see(Video(path, 0, 0, 0, 0.0), lambda _: [Keep(())]).found["keep"]["frames"].shape[0] == 0
    assert len(decoded) < 40


def test_a_wrong_count_costs_a_second_decode_and_no_wrong_frame(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    original = decode._count
    monkeypatch.setattr(decode, "_count", lambda path: replace(original(path), shown=64, certain=False))
    seen = looking.see(video, lambda _: [KeepMiddle()])
    assert (seen.decodes, seen.video.frames) == (2, 70)
    assert np.array_equal(seen.found["middle"]["frames"], FRAMES[list(middle(70, 8))])


def test_a_broken_pass_costs_only_itself(video: Video) -> None:
    seen = looking.see(video, lambda _: [Broken(), Keep([1]), Picky()])
    assert seen.errors == {"broken": "ZeroDivisionError in broken: by zero", "picky": "too small for me"}
    assert set(seen.found) == {"keep"}


class Hopeless(Keep):
    name: ClassVar[str] = "hopeless"

    def start(self, video: Video) -> Running:
        raise UserError("the disk is full")


def test_what_no_other_video_can_mend_ends_the_run(video: Video) -> None:
    with pytest.raises(UserError, match="the disk is full"):
        looking.see(video, lambda _: [Keep(), Hopeless()])


def test_damage_on_the_way_costs_only_those_who_wanted_more(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    original = decode._decoded

    def damaged(path: Path) -> Iterator[object]:
        for number, picture in enumerate(original(path)):
            if number == 50:
                raise OSError("a bad place")
            yield picture

    monkeypatch.setattr(decode, "_decoded", damaged)
    seen = looking.see(video, lambda _: [Keep(), KeepMiddle(), Small([3])])
    assert seen.errors == {"keep": "cannot be decoded: a bad place", "middle": "cannot be decoded: a bad place"}
    assert set(seen.found) == {"small"}
