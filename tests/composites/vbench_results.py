"""Synthetic results of a whole model, as our rows and as official files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench.composites.vbench_total import PROMPTS, SCHEME
from salt_bench.prompts.vbench import FOLDERS

VIDEOCRAFTER = {
    "subject_consistency": 0.9685,
    "background_consistency": 0.9822,
    "temporal_flickering": 0.9841,
    "motion_smoothness": 0.9773,
    "dynamic_degree": 0.4250,
    "aesthetic_quality": 0.6313,
    "imaging_quality": 0.6722,
    "object_class": 0.9255,
    "multiple_objects": 0.4066,
    "human_action": 0.9500,
    "color": 0.9292,
    "spatial_relationship": 0.3586,
    "scene": 0.5529,
    "appearance_style": 0.2513,
    "temporal_style": 0.2584,
    "overall_consistency": 0.2823,
}
"""VideoCrafter-2.0 as the leaderboard has it; published: quality 82.20, semantic 73.42, total 80.44."""


def row(dimension: str, prompt: str, index: int, value: float | None, **more: Any) -> dict[str, Any]:
    """A line of scores.jsonl."""
    plain = {"judge": f"vbench/{dimension}", "prompt": prompt, "sample_seed": index, "value": value, "weight": 1.0, "note": ""}
    return plain | more


def rows(seed: int = 0, prompts: int | None = None, spread: float = 0.02) -> list[Any]:
    """Every dimension, five videos for each prompt, scattered around VIDEOCRAFTER; those of one group share their prompts."""
    draws = np.random.default_rng(seed)
    made = []
    for name in SCHEME.dimensions:
        group, scale = FOLDERS.get(name, name), 100.0 if name == "imaging_quality" else 1.0
        for number in range(prompts or PROMPTS[name]):
            for index in range(5):
                value = scale * (VIDEOCRAFTER[name] + spread * float(draws.normal()))
                made.append(row(name, f"{group} {number}", index, value))
    return made


def write_rows(path: Path, made: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in made))
    return path


def entries(made: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The rows as one official result: dimension → [score, videos]."""
    found: dict[str, list[Any]] = {}
    for name, videos in _by_dimension(made):
        score = float(np.mean([v["video_results"] for v in videos])) * (0.01 if name == "imaging_quality" else 1.0)
        found[name] = [score, videos]
    return found


def _by_dimension(made: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name in dict.fromkeys(one["judge"].removeprefix("vbench/") for one in made):
        mine = [one for one in made if one["judge"] == f"vbench/{name}"]
        yield name, [{"video_path": f"v/{o['prompt']}-{o['sample_seed']}.mp4", "video_results": o["value"]} for o in mine]
