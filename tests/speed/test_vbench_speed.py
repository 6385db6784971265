"""VBench's dimensions, ours against the straight line: the same weights, one thread, core-seconds per video.

The straight line has one decode per dimension and no batches. It costs the same for every frame, so it is run on the first few
frames and counted for all; ours is run on the whole film. Optical flow ends as soon as the answer is known, which depends on
the film: the table has one where everything moves and one that stands still. The networks have their real sizes and random
weights. SALT_VBENCH_SPEED_FRAMES sets the film's length.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from table import Figure, core_seconds, note

from salt_bench.judges.vbench import dimensions, weights
from salt_bench.judges.vbench.base import Setup
from salt_bench.judges.vbench.engine import Done, Engine, Job
from salt_bench.judges.vbench.networks import amt, clip, musiq, umt, viclip
from salt_bench.judges.vbench.store import Store

FRAMES, SAMPLE, WARM = int(os.environ.get("SALT_VBENCH_SPEED_FRAMES", "33")), 5, 17
HEIGHT, WIDTH, FPS = 480, 832, 16
CAPTIONED = ("object_class", "multiple_objects", "color", "spatial_relationship", "scene")
COVERED = tuple(name for name in dimensions.every() if name not in CAPTIONED)
"""Those whose numbers were held against the official ones."""
MOTION = ("dynamic_degree", "static_filter")
ITEMS: Mapping[str, Callable[[int], float]] = {
    "motion_smoothness": lambda frames: (frames - 1) // 2,
    "dynamic_degree": lambda frames: (frames - 1) // 2,  # every second frame, at 16 per second
    "static_filter": lambda frames: frames + 1,
    "human_action": lambda frames: 1,
    "temporal_style": lambda frames: 1,
    "overall_consistency": lambda frames: 1,
}
"""Dimension → what its cost is a multiple of, if not of the frames; where that is 1, the whole film is its own sample."""
STYLE, PROMPT = "in cyberpunk style", "a boat sails"
SIZES: dict[str, dict[str, Any]] = {
    "clip_b32": {"embed_dim": 512, "vision_cfg": {"patch_size": 32}, "text_cfg": {}},
    "clip_l14": {
        "embed_dim": 768,
        "vision_cfg": {"layers": 24, "width": 1024, "patch_size": 14},
        "text_cfg": {"width": 768, "heads": 12},
    },
}


def with_flow(folder: Path, real: Path, gain: float) -> Path:
    """The same weights, but for a RAFT to which everything moves `gain` times as fast."""
    for one in weights.TABLE:
        (folder / one.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / one.path).symlink_to(real / one.path)
    path = folder / weights.weight("raft").path
    state = torch.load(path, weights_only=True)
    path.unlink()
    torch.save({key: value * (gain if "flow_head.conv2" in key else 1.0) for key, value in state.items()}, path)
    return folder


def loops(folder: Path, straight: ModuleType) -> dict[str, Callable[[Path], Any]]:
    """The straight line of every dimension, its networks loaded."""
    there = partial(weights.locate, folder)
    small, large = (straight.clip(clip.read(there(name)), **SIZES[name]) for name in SIZES)
    vit = straight.dino(torch.load(there("dino"), weights_only=True), 768, 12)
    flow = straight.raft(torch.load(there("raft"), weights_only=True))
    head = torch.load(there("laion"), weights_only=True)
    video, text = viclip.load_video(there("viclip")), viclip.load_text(there("viclip"))
    in_common = {"video": video, "text": text, "tokens": viclip.tokenize(PROMPT)}
    return {
        "temporal_flickering": straight.temporal_flickering,
        "subject_consistency": partial(straight.subject_consistency, net=vit),
        "background_consistency": partial(straight.background_consistency, model=small),
        "motion_smoothness": partial(straight.motion_smoothness, net=amt.load(there("amt"))),
        "dynamic_degree": partial(straight.dynamic_degree, net=flow),
        "aesthetic_quality": partial(straight.aesthetic_quality, model=large, head=head),
        "imaging_quality": partial(straight.imaging_quality, net=musiq.load(there("musiq"))),
        "human_action": partial(straight.human_action, net=umt.load(there("umt"))),
        "appearance_style": partial(straight.appearance_style, model=small, tokens=torch.zeros(1, 77, dtype=torch.long)),
        "temporal_style": partial(straight.overall_consistency, **in_common),
        "overall_consistency": partial(straight.overall_consistency, **in_common),
        "static_filter": partial(straight.static_filter, net=flow),
    }


def judged(folder: Path, store: Path, film: Path, *asked: str) -> Done:
    needed = sorted({name for kind in dimensions.passes(asked) for name in kind.weights})
    engine = Engine(Setup(folder), Store(store, dict.fromkeys(needed, ""), Setup(folder)))
    done = engine(Job(film.name, film, PROMPT, 0, tuple(asked), {"appearance_style": STYLE}))
    assert all(row.value is not None for row in done.rows), done.rows
    return done


def straight_seconds(lines: Mapping[str, Callable[[Path], Any]], film: Path, sample: Path) -> dict[str, float]:
    """Dimension → core-seconds of the straight line for the whole film. Those of its networks that are the project's own are
    kept to the matrix products that torch takes by itself."""
    found = {}
    for name, line in lines.items():
        whole, part = (ITEMS.get(name, float)(frames) for frames in (FRAMES, SAMPLE))
        found[name] = core_seconds(partial(line, film if whole == 1 else sample)) * (1 if whole == 1 else whole / part)
    return found


def our_seconds(folder: Path, work: Path, film: Path, *asked: str) -> float:
    return core_seconds(lambda: judged(folder, work / "+".join(asked), film, *asked))


def test_against_the_straight_line(benchmark: Any, real: Path, films: ModuleType, straight: ModuleType, tmp_path: Path) -> None:
    shapes = {FRAMES: (HEIGHT, WIDTH), SAMPLE: (HEIGHT, WIDTH), WARM: (128, 128)}
    film, sample, warm = (
        films.write(tmp_path / f"{frames}.mp4", films.drift(frames, *size), "libx264", "yuv420p", fps=FPS)
        for frames, size in shapes.items()
    )
    still, moving = (with_flow(tmp_path / name, real, gain) for name, gain in (("still", 0.0), ("moving", 1000.0)))

    def measured() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
            line = straight_seconds(loops(real, straight), film, sample)
        for folder in (still, moving):
            judged(folder, tmp_path / f"warm {folder.name}", warm, *COVERED)
        alone = {name: our_seconds(moving, tmp_path / "alone", film, name) for name in COVERED}
        alone |= {f"{name} of a still film": our_seconds(still, tmp_path / "still alone", film, name) for name in MOTION}
        for name, ours in alone.items():
            slow = line[name.split()[0]]
            note(Figure(f"{name}, {ours:.1f} s for {slow:.1f} s", slow / ours, "times faster"))
        whole, slow = our_seconds(moving, tmp_path / "all", film, *COVERED), sum(line.values())
        note(Figure(f"all {len(COVERED)} in one decode, {whole:.0f} s for {slow:.0f} s", slow / whole, "times faster", 3.0))
        stands = whole + sum(alone[f"{name} of a still film"] - alone[name] for name in MOTION)
        note(Figure(f"… of a still film, {stands:.0f} s for {slow:.0f} s", slow / stands, "times faster"))

    benchmark.pedantic(measured, rounds=1)
