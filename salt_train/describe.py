"""Recipes and released models in a few words, for people who look for one."""

from __future__ import annotations

from collections.abc import Iterator

from salt_train.caches.base import CachePolicy
from salt_train.objectives.base import Objective
from salt_train.objectives.gate import Gate
from salt_train.plan import flags
from salt_train.recipe import Recipe, Sampling
from salt_train.released_models import RELEASED, Released
from salt_train.setups.base import Setup

SCORES = "salt_bench/report/published_scores.csv"


def describe(recipe: Recipe) -> dict[str, str]:
    """What → how: the terms of the loss, the rollout, the cache, where the student starts, how it is sampled."""
    said = {"terms": " + ".join(_term(term) for term in recipe.objectives), "rollout": _rollout(recipe)}
    if recipe.chunks:
        said["cache"] = _cache(recipe.chunks.cache)
        said["memory"] = f"{recipe.backbone.frame_bytes(recipe.codec.shape()):,} bytes per video and latent frame (float32)"
    said["start"] = _start(recipe)
    if recipe.lora:
        said["learns"] = f"low-rank changes of its blocks, rank {recipe.lora.rank}, alpha {recipe.lora.alpha:g}"
    said["sampled"] = f"{len(recipe.sampling.grid)} {recipe.sampling.update} steps, guidance {recipe.sampling.guidance:g}"
    return said


def _term(term: Objective) -> str:
    if not isinstance(term, Gate):
        return f"{term.weight:g} {term.name}"
    at = f" at {', '.join(map(str, term.points))} steps" if term.points else ""
    return _term(term.term) + at + (f" from update {term.start}" if term.start else "")


def _rollout(recipe: Recipe) -> str:
    chunks, parts = recipe.chunks, []
    if chunks:
        first = f", the first of {chunks.first}" if chunks.first is not None else ""
        parts.append(f"chunks of {chunks.size} latent frames{first}")
    if not recipe.grid and not recipe.mixed:
        return ", ".join([*parts, "none: true videos"])
    parts.append(recipe.update)
    if recipe.mixed:
        counts, odds = (" ".join(f"{x:g}" for x in part) for part in zip(*((len(g), p) for g, p in recipe.mixed), strict=True))
        parts.append(f"{counts} steps with odds {odds}")
    else:
        parts.append(f"{len(recipe.grid)} steps")
    if chunks:
        parts.append("an exit per chunk" if chunks.own_exits else "one exit for all chunks")
    if recipe.stream:
        parts.append(f"{recipe.stream.new} new frames per update up to {recipe.stream.longest}")
    return ", ".join(parts)


def _cache(policy: CachePolicy) -> str:
    """The policy, its window and sinks, and what else differs from the defaults."""
    usual = vars(type(policy)())
    fields = {name: value for name, value in vars(policy).items() if name in ("window", "sink") or value != usual[name]}
    return type(policy).__name__ + (f" ({', '.join(f'{n} {v}' for n, v in fields.items())})" if fields else "")


def _start(recipe: Recipe) -> str:
    before = recipe.start
    if before is None:
        return "random weights"
    if before.weights:
        return before.weights
    terms = " + ".join(term.name for term in before.objectives)
    return f"{terms} ({before.steps} updates) ← {_start(before)}" if before.start else f"{terms} ({before.steps} updates)"


def layouts(on: Setup) -> Iterator[str]:
    """The setup's layouts by name, and what they stand for."""
    for name, fleet in on.layouts.items():
        yield f"--layout {name}: --processes {fleet.processes} {flags(fleet.layout)}"


def released() -> Iterator[str]:
    """Every released model in a few lines."""
    for entry in RELEASED:
        yield entry.name
        yield from (f"    {what:<8} {how}" for what, how in _said(entry).items() if how)


def _said(entry: Released) -> dict[str, str]:
    frames, height, width = entry.clip
    return {
        "weights": f"{entry.repo} {entry.file}",
        "take": entry.take,
        "lora": entry.lora,
        "sampled": _sampled(entry.sampling) if entry.sampling else "cannot be sampled here",
        "grid": _grid(entry.sampling) if entry.sampling else "",
        "clip": f"{frames} frames of {height}×{width}",
        "prompts": entry.prompts,
        "licence": entry.licence,
        "scores": entry.scores_as and f"“{entry.scores_as}” in {SCORES}",
        "note": entry.note,
    }


def _sampled(sampling: Sampling) -> str:
    how = f"{len(sampling.grid)} {sampling.update} steps"
    return f"{how}, chunks of {sampling.chunks.size}, {_cache(sampling.chunks.cache)}" if sampling.chunks else how


def _grid(sampling: Sampling) -> str:
    """Noise levels as timesteps of 1000; of many the first and the last."""
    said = [f"{1000 * level:.1f}".removesuffix(".0") for level in sampling.grid]
    return " ".join(said if len(said) <= 8 else [*said[:3], "…", said[-1]])
