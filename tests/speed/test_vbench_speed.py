"""VBench's dimensions, ours against the straight line: the same weights, one thread, core-seconds per video.

The networks have their real sizes, so their weights (about 2 GB, pseudo-random) must be there: the folder that
SALT_VBENCH_FIXTURE_CACHE names, as `tests/proofs/test_vbench_fixtures.py` fills it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from table import Figure, core_seconds, note

from salt_bench.judges.vbench import dimensions, weights
from salt_bench.judges.vbench.base import Setup
from salt_bench.judges.vbench.engine import Engine, Job
from salt_bench.judges.vbench.networks import clip, raft
from salt_bench.judges.vbench.store import Store

CACHE = Path(os.environ.get("SALT_VBENCH_FIXTURE_CACHE", "/nonexistent"))
NAMES = ("temporal_flickering", "subject_consistency", "background_consistency", "aesthetic_quality", "appearance_style")
MOTION = ("dynamic_degree", "static_filter")
SIZES: dict[str, dict[str, Any]] = {
    "clip_b32": {"embed_dim": 512, "vision_cfg": {"patch_size": 32}, "text_cfg": {}},
    "clip_l14": {
        "embed_dim": 768,
        "vision_cfg": {"layers": 24, "width": 1024, "patch_size": 14},
        "text_cfg": {"width": 768, "heads": 12},
    },
}

pytestmark = pytest.mark.skipif(not CACHE.is_dir(), reason="SALT_VBENCH_FIXTURE_CACHE names no folder of weights")


def beside(name: str) -> ModuleType:
    """A module of tests/judges/vbench."""
    path = Path(__file__).parents[1] / "judges/vbench" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loops() -> dict[str, Callable[[Path], Any]]:
    """The straight line of every dimension, its networks loaded."""
    straight = beside("straight")
    small, large = (straight.clip(clip.read(weights.locate(CACHE, name)), **SIZES[name]) for name in SIZES)
    vit = straight.dino(torch.load(weights.locate(CACHE, "dino"), weights_only=True), 768, 12)
    flow = straight.raft(raft.renamed(torch.load(weights.locate(CACHE, "raft"), weights_only=True)))
    head = torch.load(weights.locate(CACHE, "laion"), weights_only=True)
    tokens = torch.zeros(1, 77, dtype=torch.long)
    return {
        "temporal_flickering": straight.temporal_flickering,
        "subject_consistency": lambda path: straight.subject_consistency(path, vit),
        "background_consistency": lambda path: straight.background_consistency(path, small),
        "aesthetic_quality": lambda path: straight.aesthetic_quality(path, large, head),
        "appearance_style": lambda path: straight.appearance_style(path, small, tokens),
        "dynamic_degree": lambda path: straight.dynamic_degree(path, flow),
        "static_filter": lambda path: straight.static_filter(path, flow),
    }


def test_against_the_straight_line(benchmark: Any, tmp_path: Path) -> None:
    films = beside("films")
    frames = int(os.environ.get("SALT_VBENCH_SPEED_FRAMES", "17"))
    path = films.write(tmp_path / "x.mp4", films.drift(frames, 240, 416), "libx264", "yuv420p", fps=16)
    warm = films.write(tmp_path / "warm.mp4", films.drift(2, 128, 128), "libx264", "yuv420p")
    slow, names = loops(), (*NAMES, *MOTION)

    def judge(film: Path, *asked: str) -> int:
        engine = Engine(
            Setup(CACHE), Store(tmp_path / f"{film.stem}{'+'.join(asked)}", dict.fromkeys(_weights(), ""), Setup(CACHE))
        )
        done = engine(Job(film.name, film, "in cyberpunk style", 0, tuple(asked)))
        assert all(row.value is not None for row in done.rows), done.rows
        return done.decodes

    def measured() -> None:
        total = 0.0
        for name in names:
            judge(warm, name)
            ours, line = core_seconds(lambda: judge(path, name)), core_seconds(lambda: slow[name](path))  # noqa: B023
            total += line
            note(Figure(f"{name}, {ours:.2f} s for {line:.2f} s", line / ours, "times faster"))
        ours = core_seconds(lambda: judge(path, *names))
        note(Figure(f"all seven in one decode, {ours:.2f} s for {total:.2f} s", total / ours, "times faster"))

    benchmark.pedantic(measured, rounds=1)


def _weights() -> list[str]:
    return sorted({name for kind in dimensions.passes((*NAMES, *MOTION)) for name in kind.weights})
