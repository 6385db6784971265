"""A study as `run` would leave it, with effects that we chose: what the report must say of it is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from salt_bench import results
from salt_bench.rng import Draws
from salt_bench.types import Expectation, Score

PAIRS = ("2-4", "2-8", "2-16", "4-8", "4-16", "8-16")
INTERVALS = ("1000-750", "750-500", "500-250", "250-0")
SETTINGS = {"4 steps": [1.0, 0.9, 0.75, 0.5], "2 steps": [1.0, 0.75]}


@dataclass(frozen=True)
class Truth:
    """What an arm really is: accuracy in [0, 1], Fréchet distance, sharpness, semigroup defect and cross-step distance."""

    accuracy: float
    frechet: float
    sharpness: float
    defect: float
    cross: float


ANCHORS = {"truth": Truth(0.99, 0.1, 1.0, 0.0, 0.0), "teacher": Truth(0.88, 0.5, 0.95, 0.08, 0.10)}
ARMS = {
    "DMD-8": Truth(0.83, 2.6, 0.90, 0.130, 0.215),
    "DMD-4": Truth(0.82, 2.5, 0.90, 0.128, 0.200),
    "SC λ=0.1": Truth(0.83, 2.6, 0.90, 0.122, 0.205),
    "SC λ=0.3": Truth(0.84, 2.4, 0.90, 0.113, 0.186),
    "SC λ=1": Truth(0.84, 2.2, 0.90, 0.100, 0.150),
    "SC λ=10": Truth(0.30, 4.4, 0.50, 0.060, 0.080),
}
_OUTPUTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "shapes": {
        "accuracy": ("share", 1, 0.03, False, "Accuracy"),
        **{p: ("share", 1, 0.05, False, p.capitalize()) for p in ("colour", "shape", "motion", "scene", "relation")},
    },
    "frechet": {"distance": ("distance", -1, 0.4, False, "Fréchet distance")},
    "sharpness": {"score": ("share of truth", 1, 0.05, True, "Sharpness")},
    "semigroup_defect": {
        "defect": ("relative", -1, 0.005, False, "Semigroup defect"),
        **{f"{i}/{x}": ("relative", -1, None, False, f"{i} {x}") for i in INTERVALS for x in ("num", "den", "ratio")},
    },
    "cross_step": {
        f"{kind} {p}": ("relative L2", -1, 0.01 if p == "mean" else None, False, f"Cross-step {kind} {p}")
        for kind in ("latent", "feature")
        for p in (*PAIRS, "mean")
    },
    "dynamic_degree": {"dynamic_degree": ("share", 0, None, False, "Dynamic degree")},
    "temporal_flickering": {"temporal_flickering": ("share", 1, 0.01, False, "Temporal flickering")},
}


def write_study(
    folder: Path,
    *,
    arms: Mapping[str, Truth] = ARMS,
    settings: Mapping[str, list[float]] = SETTINGS,
    claim: bool = True,
    scale: str = "default",
    train_seeds: tuple[int, ...] = (0, 1, 2),
    test_prompts: int = 20,
    expectations: Sequence[Expectation] = (),
) -> Path:
    """Writes scores.jsonl, manifest.json and clips/ into `folder` and returns it; the same bytes every time."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = _prompts(test_prompts)
    results.write(folder / "scores.jsonl", _rows(arms, settings, train_seeds, prompts))
    manifest = _manifest(arms, settings, train_seeds, prompts, claim, scale)
    manifest["study"]["expectations"] = [asdict(expectation) for expectation in expectations]
    (folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1))
    _clips(folder / "clips", [*ANCHORS, *arms], prompts[6:10])
    return folder


def _prompts(count: int) -> list[dict[str, Any]]:
    colours, shapes, moves = ("red", "green", "blue"), ("circle", "square", "triangle"), ("left", "right", "up", "down")
    names = [(c, s, m) for c in colours for s in shapes for m in moves]
    rows = [{"id": f"{c}-{s}-{m}", "text": f"a {c} {s} moves {m} <on> sand", "tags": ["one"]} for c, s, m in names[: count + 6]]
    return [{**row, "tags": ["one", "validation"]} if i < 6 else row for i, row in enumerate(rows)]


def _rows(arms: Any, settings: Any, train_seeds: Any, prompts: Any) -> Iterator[Score]:
    for name, truth in ANCHORS.items():
        yield from _cell(name, truth, "own", 0, prompts, probe=name == "teacher")
    for name, truth in arms.items():
        for at, setting in enumerate(settings):
            for seed in train_seeds:
                yield from _cell(name, truth, setting, seed, prompts, probe=at == 0, loss=0.1 * at)


def _cell(arm: str, truth: Truth, setting: str, seed: int, prompts: Any, probe: bool, loss: float = 0.0) -> Iterator[Score]:
    shift = 0.004 * float(Draws(7)(arm, seed).normal((1,))[0])
    for prompt in prompts:
        for judge, values in _judged(arm, truth, seed, prompt["id"], shift, probe, loss).items():
            yield Score(arm, setting, seed, prompt["id"], 0, judge, values)
    distance = truth.frechet + 10 * loss + 20 * shift
    yield Score(arm, setting, seed, None, 0, "frechet", {"distance": distance, "distance@validation": distance + 0.05})


def _judged(arm: str, truth: Truth, seed: int, prompt: str, shift: float, probe: bool, loss: float) -> dict[str, Any]:
    easy = Draws(1)(prompt).uniform()  # shared by all arms, so that differences are paired
    right = [float(Draws(2)(prompt, p, seed).uniform() < truth.accuracy + shift - loss) for p in "csmn"]
    parts = dict(zip(("colour", "shape", "motion", "scene"), right, strict=True))
    noise = Draws(3)(arm, seed, prompt).normal((4,)).astype(float)
    values: dict[str, Any] = {
        "shapes": {"accuracy": sum(right) / 4, **parts},
        "sharpness": {"score": truth.sharpness + shift + 0.02 * noise[0]},
        "dynamic_degree": {"dynamic_degree": float(easy > 0.4)},
        "temporal_flickering": {"temporal_flickering": 0.97 + 0.004 * noise[1]},
    }
    if probe:
        defect = truth.defect * (1 + 0.2 * easy + 0.03 * noise[2]) + shift
        cross = truth.cross * (1 + 0.2 * easy + 0.03 * noise[3]) + shift
        values["semigroup_defect"] = _defect(defect)
        values["cross_step"] = _cross(cross)
    return values


def _defect(mean: float) -> dict[str, float]:
    share = dict(zip(INTERVALS, (1.5, 0.7, 0.6, 1.2), strict=True))
    parts = {
        f"{i}/{x}": {"num": mean * s, "den": 1.0, "ratio": mean * s}[x]
        for i, s in share.items()
        for x in ("num", "den", "ratio")
    }
    return {"defect": mean, **parts}


def _cross(mean: float) -> dict[str, float]:
    share = dict(zip(PAIRS, (0.9, 1.2, 1.4, 0.8, 1.0, 0.7), strict=True))
    return {f"{k} {p}": mean * s for k in ("latent", "feature") for p, s in {**share, "mean": 1.0}.items()}


def _manifest(arms: Any, settings: Any, train_seeds: Any, prompts: Any, claim: bool, scale: str) -> dict[str, Any]:
    names = ("unit", "better", "margin", "relative", "title")
    outputs = {j: {p: dict(zip(names, o, strict=True)) for p, o in parts.items()} for j, parts in _OUTPUTS.items()}
    promise = {
        "candidates": [a for a in arms if a.startswith("SC")],
        "baseline": "DMD-8",
        "setting": "4 steps",
        "lower": [["semigroup_defect", "defect"], ["cross_step", "latent mean"]],
        "no_worse": [["shapes", "accuracy"], ["frechet", "distance"], ["sharpness", "score"]],
    }
    study = {
        "name": "self-consistency",
        "question": "Does the self-consistency term make a few-step student agree with itself, and does quality hold?",
        "baseline": "DMD-8",
        "arms": {a: {"type": "recipe"} for a in arms},
        "anchors": {a: {"type": "anchor"} for a in ANCHORS},
        "settings": dict(settings),
        "train_seeds": list(train_seeds),
        "sample_seeds": [0],
        "prompts": prompts,
        "published": ["A1", "A3"],
        "notes": ["The stop-gradient variant collapsed at λ = 3 in a pilot; it is not repeated here."],
        "claim": promise if claim else None,
    }
    return {
        "study": study,
        "outputs": outputs,
        "protocol": {"frames": 12, "fps": 8, "size": [24, 24], "dtype": "float32", "sampler": "ode"},
        "fingerprint": "0123456789ab",
        "commit": "537f684",
        "versions": {"torch": "2"},
        "device": "secret-machine",
        "threads": 1,
        "cells": {"trained": 18, "reused": 2, "judged": 20},
        "scale": scale,
    }


def _clips(folder: Path, arms: list[str], prompts: list[dict[str, Any]]) -> None:
    slugs = {arm: f"arm-{i}" for i, arm in enumerate(arms)}
    for i, arm in enumerate(arms):
        (folder / slugs[arm]).mkdir(parents=True, exist_ok=True)
        for j, prompt in enumerate(prompts):
            Image.fromarray(_strip(i, j)).save(folder / slugs[arm] / f"{prompt['id']}.png")
    index = {
        "fps": 8,
        "frames": 12,
        "size": [24, 24],
        "arms": slugs,
        "prompts": {p["id"]: p["text"] for p in prompts},
        "setting": "4 steps",
        "train_seed": 0,
        "sample_seed": 0,
    }
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False))


def _strip(arm: int, prompt: int) -> np.ndarray:
    """uint8 (24, 12·24, 3): a square that walks to the right; later arms are washed out."""
    frames = np.full((12, 24, 24, 3), (214, 196, 160), np.uint8)
    colour = np.array([(220, 60, 50), (60, 150, 80), (60, 90, 200), (230, 180, 40)][prompt % 4])
    for t in range(12):
        frames[t, 6 + 2 * prompt : 13 + 2 * prompt, t : t + 7] = (colour * (1 - 0.08 * arm) + 200 * 0.08 * arm).astype(np.uint8)
    return np.concatenate(list(frames), axis=1)
