"""How a benchmark makes one number of many: every dimension is normalised, then means of means are taken.

All of it is affine in the dimensions' scores. A score that is not there is not 0: every mean that needs it is missing too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TOTAL = "total"


def as_written(prompt: str) -> str:
    """The prompt itself: every prompt is a sample of its own."""
    return prompt


@dataclass(frozen=True)
class Range:
    """A dimension's place in its group: the raw scores that become 0 and 1, and its weight in the group's mean."""

    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0

    def normalised(self, raw: float) -> float:
        """Not clipped: a score below `low` is negative."""
        return (raw - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Scheme:
    """A benchmark's arithmetic. Scores are shares (0.8220, not 82.20), throughout.

    `groups`: name → dimension → its range; a group is the weighted mean of its normalised dimensions. `total`: group → its
    share of the total, together 1. `beside`: dimensions that are scored and count in no mean. `prompts`: how many prompts the
    full suite has for a dimension. `cluster`: what prompts share that are no two samples (an image), the prompt itself if
    nothing. `clips`: scores are of pieces of videos.
    """

    name: str
    groups: Mapping[str, Mapping[str, Range]]
    total: Mapping[str, float]
    prompts: Mapping[str, int]
    beside: tuple[str, ...] = ()
    cluster: Callable[[str], str] = field(default=as_written)
    clips: bool = False

    @property
    def composites(self) -> tuple[str, ...]:
        """The groups in order, then the total."""
        return (*self.groups, TOTAL)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that is known, each once, the counted ones first."""
        return tuple(dict.fromkeys((*(name for group in self.groups.values() for name in group), *self.beside)))

    def ranges(self, composite: str) -> dict[str, Range]:
        """The dimensions that a composite needs, in order."""
        groups = self.groups if composite == TOTAL else {composite: self.groups[composite]}
        return {name: span for group in groups.values() for name, span in group.items()}

    def shares(self, composite: str) -> dict[str, float]:
        """Dimension → the share of its normalised score in the composite; together 1."""
        if composite == TOTAL:
            return {name: self.total[g] * part for g in self.groups for name, part in self.shares(g).items()}
        group = self.groups[composite]
        whole = sum(span.weight for span in group.values())
        return {name: span.weight / whole for name, span in group.items()}

    def slopes(self, composite: str) -> dict[str, float]:
        """Dimension → by how much the composite rises with its raw score."""
        spans = self.ranges(composite)
        return {name: share / (spans[name].high - spans[name].low) for name, share in self.shares(composite).items()}

    def missing(self, composite: str, scores: Mapping[str, float | None]) -> tuple[str, ...]:
        """The dimensions that the composite needs and `scores` does not have."""
        return tuple(name for name in self.ranges(composite) if scores.get(name) is None)

    def value(self, composite: str, scores: Mapping[str, float | None]) -> float | None:
        """The composite of raw dataset scores; None where one that it needs is missing."""
        known = {name: raw for name in self.ranges(composite) if (raw := scores.get(name)) is not None}
        if len(known) < len(self.ranges(composite)):
            return None
        spans, shares = self.ranges(composite), self.shares(composite)
        return sum(shares[name] * spans[name].normalised(raw) for name, raw in known.items())
