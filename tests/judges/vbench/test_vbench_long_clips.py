"""VBench-Long: which clips a video is cut into, that one decode judges them as their own files would be, and what is held."""

from __future__ import annotations

import json
import pickle
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import films
import numpy as np
import pytest
import small_networks as tiny
from typer.testing import CliRunner, Result

from salt_bench.cli import app
from salt_bench.errors import WrongUse
from salt_bench.judges.vbench import crew, decode, looking, recoding
from salt_bench.judges.vbench.base import Found, Pass, Refused, Running, Setup, Video, middle
from salt_bench.judges.vbench.cutting import Cut, cut
from salt_bench.judges.vbench.engine import Engine, Job
from salt_bench.judges.vbench.jobs import Plan
from salt_bench.judges.vbench.store import Store
from salt_bench.prompts.base import Asked, Suite

FRAMES = films.drift(81, 32, 48, speed=3)
SPANS = ((0, 32), (32, 64), (49, 81))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = films.write(tmp_path_factory.mktemp("films") / "x.mkv", FRAMES, fps=16)
    return Video(path, 0, 0, 0, 0.0, "a cat", 3)


class Kept(Running):
    """Keeps every frame that it is shown, and knows what is alive of its kind."""

    alive: ClassVar[weakref.WeakSet[Kept]] = weakref.WeakSet()
    most: ClassVar[int] = 0

    def __init__(self, enough: int = 10**9) -> None:
        self.frames: list[np.ndarray] = []
        self.enough = enough
        Kept.alive.add(self)

    def take(self, frames: np.ndarray) -> bool:
        assert len(frames), "a pass is never shown nothing"
        self.frames.extend(frames.copy())
        Kept.most = max(Kept.most, sum(len(one.frames) for one in Kept.alive))
        return len(self.frames) < self.enough

    def result(self) -> Found:
        return {"frames": np.stack(self.frames)}


class All(Pass):
    name: ClassVar[str] = "all"

    def start(self, video: Video) -> Running:
        return Kept()


class Eight(All):
    name: ClassVar[str] = "eight"

    def chosen(self, video: Video) -> Sequence[int]:
        return middle(video.frames, 8)


class Start(All):
    name: ClassVar[str] = "start"

    def start(self, video: Video) -> Running:
        return Kept(enough=3)


class Tiny(All):
    name: ClassVar[str] = "tiny"
    size: ClassVar[tuple[int, int] | None] = (8, 12)


SETUP = Setup(Path())


def every(video: Video) -> list[Pass]:
    return [All(SETUP), Eight(SETUP), Tiny(SETUP)]


def test_81_frames_are_three_clips_and_the_last_reaches_back(video: Video) -> None:
    watched = looking.watch(video, Cut(2.0), every)
    assert (watched.video.frames, watched.decodes) == (81, 1)
    assert [(seen.video.span.first, seen.video.span.end) for seen in watched.clips if seen.video.span] == list(SPANS)
    assert [seen.video.span.name for seen in watched.clips if seen.video.span] == ["000", "001", "002"]
    for seen, (first, end) in zip(watched.clips, SPANS, strict=True):
        clip = FRAMES[first:end]
        assert (seen.video.frames, seen.video.fps, seen.video.text) == (32, 16.0, "a cat")
        assert np.array_equal(seen.found["all"]["frames"], clip)
        assert np.array_equal(seen.found["eight"]["frames"], clip[list(middle(32, 8))])
        assert seen.found["tiny"]["frames"].shape == (32, 8, 12, 3)
    tiny_whole = looking.see(video, every).found["tiny"]["frames"]
    assert np.array_equal(watched.clips[2].found["tiny"]["frames"], tiny_whole[49:81])


@pytest.mark.parametrize(("fps", "seconds", "spans"), [(40.5, 2.0, [(0, 80), (1, 81)]), (16, 10.0, [(0, 81)]), (27, 1.0, None)])
def test_clips_longer_or_shorter_than_a_block(video: Video, fps: float, seconds: float, spans: Any) -> None:
    clips = Cut(seconds)(replace(video, frames=81, fps=fps))
    found = [(clip.span.first, clip.span.end) for clip in clips if clip.span]
    assert found == (spans or [(0, 27), (27, 54), (54, 81)])
    assert {clip.fps for clip in clips} == {float(int(fps))}
    assert next(clip.span.name for clip in clips if clip.span) == ("full" if seconds == 10.0 else "000")


def test_a_video_of_less_than_a_frame_a_second_is_refused(video: Video) -> None:
    with pytest.raises(Refused, match="a clip has a frame or more, got 81 frames"):
        Cut(2.0)(replace(video, frames=81, fps=0.5))


def test_nothing_of_a_clip_is_held_before_it_begins_or_after_it_ends(tmp_path: Path) -> None:
    """320 frames in clips of 16: what is alive at once is a clip, or the last two, which overlap; never the whole video."""
    long = Video(films.write(tmp_path / "x.mkv", films.noise(330, 16, 16), fps=8), 0, 0, 0, 0.0)
    Kept.most = 0
    watched = looking.watch(long, Cut(2.0), lambda _: [All(SETUP)])
    assert len(watched.clips) == 21
    assert Kept.most <= 2 * 16
    assert not Kept.alive


def test_a_pass_that_has_seen_enough_is_let_go_before_its_clip_ends(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_BLOCK_FRAMES", 4)
    Kept.most = 0
    watched = looking.watch(video, Cut(2.0), lambda _: [Start(SETUP)])
    assert [len(seen.found["start"]["frames"]) for seen in watched.clips] == [4, 4, 3]
    assert Kept.most <= 4


def test_decoding_goes_on_for_the_clips_to_come_and_then_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = decode._decoded
    monkeypatch.setattr(decode, "_decoded", lambda path: (seen.append(n) or f for n, f in enumerate(original(path))))
    path = films.write(tmp_path / "x.mp4", films.drift(300, 16, 16), "libx264", "yuv420p", fps=50)
    watched = looking.watch(Video(path, 0, 0, 0, 0.0), Cut(2.0), lambda _: [Start(SETUP)])
    assert [len(one.found["start"]["frames"]) >= 3 for one in watched.clips] == [True] * 3
    assert 200 < len(seen) < 260


def test_damage_costs_the_clips_from_there_on(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    original = decode._decoded

    def damaged(path: Path) -> Any:
        for number, picture in enumerate(original(path)):
            if number == 40:
                raise OSError("a bad place")
            yield picture

    monkeypatch.setattr(decode, "_decoded", damaged)
    first, second, third = looking.watch(video, Cut(2.0), every).clips
    assert set(first.found) == {"all", "eight", "tiny"}
    for seen in (second, third):
        assert seen.errors == dict.fromkeys(("all", "eight", "tiny"), "cannot be decoded: a bad place")


def test_a_wrong_count_is_cut_again(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    original = decode._count
    monkeypatch.setattr(decode, "_count", lambda path: replace(original(path), shown=64, certain=False))
    watched = looking.watch(video, Cut(2.0), every)
    assert (watched.decodes, len(watched.clips)) == (2, 3)
    assert np.array_equal(watched.clips[2].found["all"]["frames"], FRAMES[49:])


# ----------------------------------------------------------------------------------------------------------------- copies


def test_a_copy_is_the_clip_with_an_encoders_losses(video: Video) -> None:
    frames: dict[str, np.ndarray] = {}
    for encoding in recoding.ENCODINGS:
        watched = looking.watch(video, Cut(2.0, encoding), every)
        assert watched.decodes == 1
        assert [set(seen.found) for seen in watched.clips] == [{"all", "eight", "tiny"}] * 3
        frames[encoding] = np.stack([seen.found["all"]["frames"] for seen in watched.clips]).astype(int)
    gaps = {encoding: np.abs(frames[encoding] - frames["none"]).mean() for encoding in recoding.ENCODINGS}
    assert gaps["none"] == 0
    assert 0 < gaps["crf23"] < 12
    assert 0 < gaps["pyav13"] < 12
    assert gaps["crf23"] != gaps["pyav13"]


def test_a_copy_is_libx264s_own_file(video: Video, tmp_path: Path) -> None:
    """Written to disk by other code, with the encoder's defaults, and read as a video of its own."""
    copy = looking.watch(video, Cut(2.0, "crf23"), every).clips[2]
    options = {"threads": "1", **recoding.steady()}
    path = films.write(tmp_path / "x.mp4", FRAMES[49:81], "libx264", "yuv420p", fps=16, options=options)
    own = looking.see(Video(path, 0, 0, 0, 0.0), every)
    assert np.array_equal(copy.found["all"]["frames"], own.found["all"]["frames"])
    assert np.array_equal(copy.found["tiny"]["frames"], own.found["tiny"]["frames"])
    assert (own.video.frames, own.video.fps) == (copy.video.frames, copy.video.fps)


@pytest.mark.parametrize("encoding", ["crf23", "pyav13"])
def test_a_copy_does_not_depend_on_what_memory_held(encoding: str) -> None:
    """Where libx264 is left to choose AVX-512, every tenth is another one: each is decoded, which leaves its pixels behind."""
    frames, copies = films.drift(32, 96, 144, speed=3), set()
    for _ in range(25):
        copy = recoding.Copy(Video(Path(), 32, 96, 144, 16.0), encoding)
        copy.add(frames)
        copies.add(copy.finished())
        with decode.opened(max(copies)) as film:
            assert sum(len(block[None]) for block in film.blocks({None})) == 32
    assert len(copies) == 1


def test_the_old_rate_does_not_grow_with_the_picture() -> None:
    def bits(encoding: str, height: int, width: int) -> float:
        copy = recoding.Copy(Video(Path(), 32, height, width, 16.0), encoding)
        copy.add(films.noise(32, height, width))
        return 8 * len(copy.finished()) / 2.0  # a second

    assert bits("crf23", 256, 384) > 3 * bits("crf23", 128, 192)
    assert bits("pyav13", 128, 192) < bits("pyav13", 256, 384) < 2 * 1_024_000


def test_what_cannot_be_encoded_says_so(tmp_path: Path) -> None:
    odd = Video(films.write(tmp_path / "x.mkv", films.noise(20, 31, 33), fps=8), 0, 0, 0, 0.0)
    for seen in looking.watch(odd, Cut(2.0, "crf23"), every).clips:
        assert not seen.found
        assert seen.errors["all"] == "yuv420p needs even sides, got 33 x 31: judge it without --reencode"


# ------------------------------------------------------------------------------------------------------------- the engine


def engine(folder: Path) -> Engine:
    setup = Setup(folder / "weights")
    return Engine(setup, Store(folder / "cache", {}, setup))


def flickering(path: Path, **more: Any) -> Job:
    return Job(path.name, path, "a cat", 3, ("temporal_flickering",), **more)


def test_rows_are_named_by_their_clips_and_kept_apart(video: Video, tmp_path: Path) -> None:
    judge = engine(tmp_path)
    done = judge(flickering(video.path, cut=Cut(2.0)))
    assert [row.video for row in done.rows] == ["x.mkv#000", "x.mkv#001", "x.mkv#002"]
    assert {(row.prompt, row.sample_seed, row.judge) for row in done.rows} == {("a cat", 3, "vbench/temporal_flickering")}
    again = judge(flickering(video.path, cut=Cut(2.0)))
    assert (again.decodes, again.rows) == (0, done.rows)
    for other in ({"cut": Cut(1.0)}, {"cut": Cut(2.0, "crf23")}, {}):
        assert judge(flickering(video.path, **other)).decodes == 1, "other clips, other frames"
    whole = judge(flickering(video.path)).rows
    assert [row.video for row in whole] == ["x.mkv"]


def test_a_video_that_cannot_be_read_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").touch()
    (row,) = engine(tmp_path)(flickering(tmp_path / "x.mp4", cut=Cut(2.0))).rows
    assert (row.video, row.value) == ("x.mp4", None)
    assert "0 bytes" in row.note


def test_clips_are_as_long_as_the_longest_that_the_prompt_wants_asked_for_or_not() -> None:
    suite = Suite("vbench", (Asked("a", ("scene",)), Asked("b", ("aesthetic_quality", "overall_consistency"))))
    jobs = tuple(Job(f"{text}-0.mp4", Path(), text, 0, ("aesthetic_quality",)) for text in "ab")
    assert [job.cut for job in cut(Plan(jobs), suite, "none").jobs] == [Cut(2.0), Cut(10.0)]
    copied = cut(Plan(jobs), None, "pyav13").jobs
    assert [job.cut for job in copied] == [Cut(2.0, "pyav13")] * 2
    assert pickle.loads(pickle.dumps(copied)) == copied, "workers are sent their jobs"


# ------------------------------------------------------------------------------------------------------------ the command

NAMES = ("subject_consistency", "background_consistency", "temporal_flickering", "appearance_style")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "judge_all", lambda engine, jobs, workers: map(engine, jobs))


def judge(videos: Path, weights: Path, out: Path, *options: object) -> Result:
    words = ("judge", videos, "--weights", weights, "--out", out, *options)
    return CliRunner().invoke(app, [str(word) for word in words])


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]


def test_clips_of_a_video_are_judged_as_files_of_their_own(tmp_path: Path) -> None:
    """11 frames at 4.5 a second: [0, 8) and [3, 11). Saved without loss at 4, they are judged to the same rows."""
    weights, film = tiny.write(tmp_path / "weights"), films.drift(11, 130, 132, speed=4)
    films.write(tmp_path / "long" / "van Gogh-0.mkv", film, fps="9/2")
    for name, (first, end) in {"000": (0, 8), "001": (3, 11)}.items():
        films.write(tmp_path / "clips" / name / "van Gogh-0.mkv", film[first:end], fps=4)
    options = ("--mode", "custom", "--dimensions", ",".join(NAMES))
    done = judge(tmp_path / "long", weights, tmp_path / "a", "--suite", "vbench_long", *options)
    assert done.exit_code == 0, done.output
    assert judge(tmp_path / "clips", weights, tmp_path / "b", "--suite", "vbench", *options).exit_code == 0
    clips = {(row["judge"], row["video"]): row for row in rows(tmp_path / "a")}
    assert len(clips) == 2 * len(NAMES)
    for row in rows(tmp_path / "b"):
        name = f"van Gogh-0.mkv#{row['video'].split('/')[0]}"
        ours = clips[row["judge"], name]
        assert ours | {"video": ""} == row | {"video": ""}, "every field, to the last bit"
    assert len({row["value"] for row in clips.values() if row["judge"] == "vbench/subject_consistency"}) == 2
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["benchmark"] == "vbench_long"
    assert summary["protocol"]["slow_fast"] == {"in clips": 1.0, "between clips": 0.0}
    assert (summary["protocol"]["suite"], summary["protocol"]["reencode"]) == ("vbench_long", "none")
    mean = np.mean([row["value"] for row in clips.values() if row["judge"] == "vbench/subject_consistency"])
    assert summary["dimensions"]["subject_consistency"] == pytest.approx(mean, abs=1e-12)
    total = CliRunner().invoke(app, ["total", str(tmp_path / "a"), "--benchmark", "vbench_long"])
    assert f"{100 * mean:.2f}" in total.output


def test_standard_mode_cuts_by_the_suite(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    listed = [
        {"prompt_en": "a cat", "dimension": ["temporal_flickering"]},
        {"prompt_en": "a dog", "dimension": ["temporal_flickering", "human_action"]},
    ]
    (tmp_path / "weights" / "VBench_full_info.json").write_text(json.dumps(listed))
    for name in ("a cat-0", "a dog-0"):
        films.write(tmp_path / "v" / f"{name}.mkv", films.drift(40, 16, 16), fps=8)
    asked = ("--suite", "vbench_long", "--dimensions", "temporal_flickering", "--reencode", "crf23")
    assert judge(tmp_path / "v", tmp_path / "weights", tmp_path / "out", *asked).exit_code == 6
    names = ["a cat-0.mkv#000", "a cat-0.mkv#001", "a cat-0.mkv#002", "a dog-0.mkv#full"]
    assert [row["video"] for row in rows(tmp_path / "out")] == names
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["protocol"]["reencode"] == "crf23"


def test_wrong_use(tmp_path: Path) -> None:
    films.write(tmp_path / "v" / "a-0.mkv", films.drift(4, 16, 16))
    flicker = ("--dimensions", "temporal_flickering")
    for options, why in (
        (
            ("--suite", "vbench", "--mode", "custom", "--reencode", "crf23"),
            "--reencode is for the clips of --suite vbench_long",
        ),
        (("--suite", "vbench_long", "--static-filter"), "it needs --suite vbench"),
    ):
        error = judge(tmp_path / "v", tmp_path, tmp_path / "out", *flicker, *options).exception
        assert isinstance(error, WrongUse)
        assert why in str(error)
