"""The motion guard: a video that stands still scores well with almost every judge, so a gain beside lost motion says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from salt_bench.report.source import Metric, Source

MOTION = "dynamic_degree"
"""The judge of motion. A part of it that has a margin counts, whichever way its judge thinks is better."""
LOST = "lost motion"
STILL = ("temporal_flickering", "motion_smoothness", "subject_consistency", "background_consistency", "drift", "chunk_jumps")
"""Judges whose best score is a still video's: an arm whose gains go along with lost motion does not compete there."""


def stilled(source: Source, arm: str, setting: str) -> tuple[Metric, ...]:
    """The measures of motion by which `arm` moves less than the baseline by more than the margin, for certain."""
    parts = [source.metric(*key) for key in source.outputs if key[0] == MOTION]
    more = [(part, replace(part, output=replace(part.output, better=1))) for part in parts if part.output.margin is not None]
    return tuple(part for part, wanted in more if source.standing(arm, setting, wanted) == "worse")


def shadowed(source: Source, arm: str, setting: str) -> tuple[Metric, ...]:
    """The same, of an arm that gained something by another judge."""
    lost = stilled(source, arm, setting)
    return lost if lost and any(_gained(source, arm, setting, m) for m in (*source.main, *source.others)) else ()


def _gained(source: Source, arm: str, setting: str, metric: Metric) -> bool:
    """Whether the interval of the difference lies on the better side."""
    found, better = source.effect(arm, setting, metric), metric.output.better
    return metric.judge != MOTION and found is not None and bool(better) and min(better * found.low, better * found.high) > 0
