"""How much memory a worker takes for 720p: of its own, beside the weights, which are mapped from their files and which all
workers share.

A film of ten minutes goes through the dimensions that look at some of its frames, or need no network; those that look at every
frame would take hours here, so each of them is shown a few frames of the same size, which is all that it ever holds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from table import Figure, note

HEIGHT, WIDTH, FPS, MINUTES = 720, 1280, 24, 10
GIGABYTES = 2.0
PICKED = ("temporal_flickering", "human_action", "overall_consistency", "temporal_style")
EVERY_FRAME = (
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "static_filter",
    "aesthetic_quality",
    "imaging_quality",
    "appearance_style",
)
ALL = (*dict.fromkeys((*PICKED, *EVERY_FRAME)), "dynamic_degree")
"""Twelve, by one worker."""
ONE_FRAME = ("object_class", "scene")
"""Slow: 1 frame."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from Linux's /proc")


def there_and_back(path: Path, frames: np.ndarray) -> Path:
    """Ten minutes of one second's frames, forwards and backwards: quickly written, and no shorter to decode."""
    path.parent.mkdir(parents=True)
    second = [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "28"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(60 * MINUTES * FPS):
            frame = (second if number // FPS % 2 == 0 else second[::-1])[number % FPS]
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def judge(videos: Path, weights: Path, out: Path, *dimensions: str) -> tuple[float, float]:
    """Gigabytes: the largest worker's own memory, and all that it had mapped, weights included."""
    prompts = out.with_suffix(".json")
    about = {
        "object_class": {"object": "cat"},
        "scene": {"scene": {"scene": "street"}},
        "appearance_style": {"appearance_style": "oil"},
    }
    told = {path.name: {"prompt": "a cat", "auxiliary_info": about} for path in videos.iterdir()}
    prompts.write_text(json.dumps(told))
    options = [
        "--mode",
        "custom",
        "--prompts",
        prompts,
        "--weights",
        weights,
        "--dimensions",
        ",".join(dimensions),
        "--out",
        out,
    ]
    run = subprocess.Popen([sys.executable, "-m", "salt_bench.cli", "judge", videos, *options], stdout=subprocess.DEVNULL)
    own = mapped = 0
    while run.poll() is None:
        for status in statuses(run.pid):
            own, mapped = max(own, status.get("RssAnon", 0)), max(mapped, status.get("VmHWM", 0))
        time.sleep(0.02)
    assert run.returncode == 0
    return own / 2**20, mapped / 2**20


def statuses(parent: int) -> Iterator[dict[str, int]]:
    """What Linux says of the children of a process, in KiB."""
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
        except (OSError, ValueError):
            continue  # it has just ended
        if int(lines.get("PPid", 0)) == parent:
            yield {name: int(value.split()[0]) for name, value in lines.items() if value.endswith("kB")}


def test_ten_minutes_of_720p(benchmark: Any, real: Path, films: ModuleType, tmp_path: Path) -> None:
    frames = films.drift(FPS, HEIGHT, WIDTH)
    there_and_back(tmp_path / "long" / "a cat-0.mp4", frames)
    for count in (1, 3):
        films.write(tmp_path / str(count) / "a cat-0.mp4", frames[:count], "libx264", "yuv420p", fps=FPS)

    def measured() -> None:
        for names, videos in (
            (PICKED, "long"),
            *(((name,), "3") for name in EVERY_FRAME),
            (ALL, "3"),
            *(((name,), "1") for name in ONE_FRAME),
        ):
            own, mapped = judge(tmp_path / videos, real, tmp_path / f"{names[0]} of {len(names)}", *names)
            what = f"{' + '.join(names)}, {'10 minutes' if videos == 'long' else f'{videos} frames'}, {mapped:.2f} GB mapped"
            note(Figure(f"own memory: {what}", own, "GB", GIGABYTES, -1))

    benchmark.pedantic(measured, rounds=1)
