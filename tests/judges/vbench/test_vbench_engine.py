"""The engine: results kept by digest, rows with reasons, workers that die."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import films
import numpy as np
import pytest

from salt_bench.judges.vbench import crew, dimensions
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.engine import Done, Engine, Job, failed, made
from salt_bench.judges.vbench.store import Store, weight_digests
from salt_bench.judges.vbench.temporal_flickering import Differences

FLICKERING = ("temporal_flickering",)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    setup = Setup(tmp_path / "weights")
    return Engine(setup, Store(tmp_path / "cache", {}, setup))


class Weighty(Differences):
    weights: ClassVar[tuple[str, ...]] = ("x",)

    @classmethod
    def reads(cls, video: Video) -> str:
        return video.text


def job(path: Path, text: str = "a cat") -> Job:
    return Job(path.name, path, text, 3, ("temporal_flickering",))


def test_the_rows_say_it_all(engine: Engine, tmp_path: Path) -> None:
    levels = np.array([10, 20, 50], np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    done = engine(job(films.write(tmp_path / "x.mkv", levels)))
    (row,) = done.rows
    assert row.value == pytest.approx((255 - 20) / 255, abs=1e-12)
    assert (row.video, row.prompt, row.sample_seed, row.judge) == ("x.mkv", "a cat", 3, "vbench/temporal_flickering")
    assert row.weight == 1.0
    assert done.decodes == 1


def test_the_same_bytes_are_never_decoded_twice(engine: Engine, tmp_path: Path) -> None:
    path = films.write(tmp_path / "x.mkv", films.noise(4))
    first = engine(job(path))
    shutil.copy(path, tmp_path / "other.mkv")
    again = engine(job(tmp_path / "other.mkv", "another prompt"))
    assert again.decodes == 0
    assert again.rows[0] == replace(first.rows[0], video="other.mkv", prompt="another prompt")
    films.write(path, films.noise(4, seed=1))
    assert engine(job(path)).decodes == 1


def test_a_damaged_memory_is_made_again(engine: Engine, tmp_path: Path) -> None:
    path = films.write(tmp_path / "x.mkv", films.noise(4))
    first = engine(job(path))
    kept = [file for file in engine.store.folder.rglob("*.npz") if file.write_bytes(file.read_bytes()[:50])]
    assert len(kept) == 1
    again = engine(job(path))
    assert again.decodes == 1
    assert again.rows == first.rows


def test_other_weights_and_other_precision_are_other_results(tmp_path: Path) -> None:
    paths = []
    for setup, sha in ((Setup(tmp_path), "a"), (Setup(tmp_path), "b"), (Setup(tmp_path, precision="fp16"), "a")):
        paths.append(Store(tmp_path, {"x": sha}, setup)._path("0" * 64, Weighty, job(tmp_path).video()))
    assert len(set(paths)) == 3
    video = job(tmp_path).video()
    texts = [Store(tmp_path, {"x": "a"}, Setup(tmp_path))._path("0" * 64, Weighty, replace(video, text=t)) for t in "ab"]
    assert len(set(texts)) == 2


def test_weights_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w").write_bytes(b"weights")
    first = weight_digests(tmp_path / "cache", {"w": tmp_path / "w"})
    monkeypatch.setattr("salt_bench.files.digest", lambda path: "not asked")
    assert weight_digests(tmp_path / "cache", {"w": tmp_path / "w"}) == first
    os.utime(tmp_path / "w", (1, 1))
    assert weight_digests(tmp_path / "cache", {"w": tmp_path / "w"}) == {"w": "not asked"}


def test_what_cannot_be_judged_is_a_row_with_a_reason(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    films.write(tmp_path / "single.mkv", films.noise(1))
    for name, why in (("empty.mp4", "0 bytes"), ("single.mkv", "single frame"), ("absent.mp4", "No such file")):
        (row,) = engine(job(tmp_path / name)).rows
        assert row.value is None
        assert why in row.note
        assert str(tmp_path) not in row.note, "a row depends on the video, not on where it lies"


def test_every_dimension_is_found_and_passes_have_names_of_their_own() -> None:
    names = [*dimensions.available(), *dimensions.BESIDE]
    assert {"temporal_flickering", "subject_consistency", "dynamic_degree"} <= set(names)
    kinds = dimensions.passes(names)
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert all(dimensions.find(name).name == name for name in names)


def test_a_process_makes_a_pass_once(engine: Engine) -> None:
    assert made(Differences, engine.setup) is made(Differences, engine.setup)


@dataclass(frozen=True)
class Fatal:
    """An engine whose process does not survive the videos called "killer"."""

    def __call__(self, job: Job) -> Done:
        if job.text == "killer":
            os._exit(9)
        time.sleep(0.05)
        return Done(job, (), decodes=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_video_that_kills_its_worker_costs_only_its_own_rows(workers: int) -> None:
    jobs = [Job(str(n), Path(), "killer" if n == 2 else "", 0, FLICKERING) for n in range(5)]
    done = list(crew.judge_all(Fatal(), jobs, workers))  # type: ignore[arg-type]
    assert sorted(one.job.name for one in done) == list("01234")
    dead = [one for one in done if one.rows]
    assert [one.job.text for one in dead] == ["killer"]
    assert "worker process died" in dead[0].rows[0].note


def test_copies_of_a_video_are_looked_at_once_by_workers_side_by_side(engine: Engine, tmp_path: Path) -> None:
    jobs = []
    for number in range(12):
        path = films.write(tmp_path / f"{number}-0.mkv", films.noise(3, seed=number))
        jobs += [job(path), job(Path(shutil.copy(path, tmp_path / f"{number}-1.mkv")))]
    done = list(crew.judge_all(engine, jobs, 2))
    assert [(row.video, row.note) for one in done for row in one.rows if row.value is None] == []
    assert sum(one.decodes for one in done) == 12


def test_a_failed_job_has_all_of_its_rows() -> None:
    done = failed(Job("x", Path(), "t", 1, ("scene", "color")), "why")
    assert [(row.judge, row.value, row.note) for row in done.rows] == [
        ("vbench/scene", None, "why"),
        ("vbench/color", None, "why"),
    ]
