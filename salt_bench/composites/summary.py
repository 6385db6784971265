"""One model's scores under a scheme: every dimension, every composite, how sure they are, and what is missing and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from salt_bench.composites import intervals
from salt_bench.composites.intervals import Estimate
from salt_bench.composites.rows import LEFT_OUT, Aggregate, Row, Sums, of_records, sums, uncountable
from salt_bench.composites.scheme import Scheme
from salt_bench.errors import UserError, WrongUse

SAMPLES = 5
"""Videos per prompt in the full suite."""
_AGREES = 1e-4  # official files that round, and float32 means, stay well below


@dataclass(frozen=True)
class Measured:
    """What is known of one model: rows, the dataset scores that official files `stated` (which need no rows), and how it was
    measured, where that is known."""

    rows: tuple[Row, ...] = ()
    stated: Mapping[str, float] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)

    def of(self, dimension: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.dimension == dimension)


@dataclass(frozen=True)
class Scored:
    """A dimension's dataset score and what it rests on; `estimate` is None where only the score itself is known.

    `left_out`: videos that the dimension's rule leaves out; `unjudged`: notes of those that could not be judged."""

    value: float
    estimate: Estimate | None
    prompts: int
    videos: int
    left_out: int
    unjudged: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """`dimensions` and `composites` by name, each only where it is known; `missing`: dimension → why. `aggregate` None: as the
    files state. `sums` are what the intervals rest on, of the dimensions that have rows."""

    scheme: Scheme
    aggregate: Aggregate | None
    dimensions: Mapping[str, Scored]
    composites: Mapping[str, float]
    missing: Mapping[str, str]
    remarks: tuple[str, ...]
    sums: Sums
    protocol: Mapping[str, Any]

    def estimate(self, composite: str) -> Estimate | None:
        """The composite with its error; None where it is missing, or a dimension of it is known only as a number."""
        slopes = self.scheme.slopes(composite)
        if composite not in self.composites or any(self.dimensions[name].estimate is None for name in slopes):
            return None
        return intervals.estimate(self.composites[composite], slopes, self.sums)

    def unjudged(self) -> int:
        return sum(len(scored.unjudged) for scored in self.dimensions.values())

    def partial(self) -> dict[str, str]:
        """Dimension → how it falls short of the full suite. Of flickering and color, videos are left out by rule."""
        return {name: text for name, scored in self.dimensions.items() if (text := _short(self.scheme, name, scored))}

    def record(self) -> dict[str, Any]:
        """As JSON types, for `summary.json`: scores are shares, null where missing; so is an unknown interval."""
        known = {name: scored.value for name, scored in self.dimensions.items()}
        errors = {name: scored.estimate for name, scored in self.dimensions.items()}
        errors |= {name: self.estimate(name) for name in self.composites}
        return {
            "dimensions": known,
            **{name: self.composites.get(name) for name in self.scheme.composites},
            "intervals": {name: list(e.interval) if e and e.interval else None for name, e in errors.items()},
            "prompts": {name: scored.prompts for name, scored in self.dimensions.items()},
            "videos": {name: scored.videos for name, scored in self.dimensions.items()},
            "left_out": {name: scored.left_out for name, scored in self.dimensions.items() if scored.left_out},
            "unjudged": {name: list(scored.unjudged) for name, scored in self.dimensions.items() if scored.unjudged},
            "missing": list(self.missing),
            "missing_because": dict(self.missing),
            "remarks": list(self.remarks),
            "benchmark": self.scheme.name,
            "aggregate": str(self.aggregate or "as stated"),
            "protocol": dict(self.protocol),
        }


def summarise(scheme: Scheme, measured: Measured, aggregate: Aggregate | None = None) -> Summary:
    """Brings the rows together as `aggregate` says; None takes what official files state, and rows as one process would."""
    check(scheme, measured)
    measured = _counted(scheme, measured)
    found = {name: measured.of(name) for name in scheme.dimensions}
    missing = {name: why for name, rows in found.items() if (why := _absent(name, rows, measured, aggregate))}
    rows = [replace(row, prompt=scheme.cluster(row.prompt)) for name in found if name not in missing for row in found[name]]
    added = sums([row for row in rows if row.value is not None], aggregate or Aggregate.one_process)
    means = dict(zip(added.dimensions, added.mean().tolist(), strict=True))
    stated = {} if aggregate else {name: raw for name, raw in measured.stated.items() if name not in missing}
    scores = {name: {**means, **stated}[name] for name in scheme.dimensions if name in means or name in stated}
    known = {name: _scored(name, scores[name], found[name], added) for name in scores}
    composites = {name: value for name in scheme.composites if (value := scheme.value(name, scores)) is not None}
    remarks = tuple(_remarks(scores, means, found, stated))
    counted = {name: why for name, why in missing.items() if name not in scheme.beside}
    return Summary(scheme, aggregate, known, composites, counted, remarks, added, measured.protocol)


def recorded(
    scheme: Scheme,
    rows: Iterable[Mapping[str, Any]],
    protocol: Mapping[str, Any],
    aggregate: Aggregate = Aggregate.one_process,
) -> dict[str, Any]:
    """What `summary.json` says of the rows of a `scores.jsonl`: `Summary.record`."""
    return summarise(scheme, Measured(of_records(rows), protocol=protocol), aggregate).record()


def difference(one: Summary, other: Summary, composite: str) -> Estimate | None:
    """`one` minus `other`, paired by prompt; None where a composite or its error is not known of both."""
    if one.estimate(composite) is None or other.estimate(composite) is None:
        return None
    apart = one.composites[composite] - other.composites[composite]
    return intervals.difference(apart, one.scheme.slopes(composite), one.sums, other.sums)


def check(scheme: Scheme, measured: Measured) -> None:
    """WrongUse for a dimension that the scheme does not know, UserError for a video that is judged twice."""
    for name in (*measured.stated, *(row.dimension for row in measured.rows)):
        if name not in scheme.dimensions:
            known = ", ".join(scheme.dimensions)
            raise WrongUse(f"{name!r} is no dimension of {scheme.name}: its dimensions are {known}")
    keys: set[tuple[str, str, int, str]] = set()
    for row in measured.rows:
        if row.key() in keys:
            raise UserError(f"{row.dimension} of {row.prompt!r} number {row.index} is given twice: give each video once")
        keys.add(row.key())


def _counted(scheme: Scheme, measured: Measured) -> Measured:
    """Of clips each counts once, however many frames of it count elsewhere; one of weight 0 is left out all the same."""
    if not scheme.clips:
        return measured
    return replace(measured, rows=tuple(replace(row, weight=0.0 if row.weight == 0 else 1.0) for row in measured.rows))


def _absent(name: str, rows: Sequence[Row], measured: Measured, aggregate: Aggregate | None) -> str:
    if name in measured.stated and aggregate is None:
        return ""
    if not rows:
        return "only its dataset score is known" if name in measured.stated else "no score of it"
    return uncountable(rows, aggregate or Aggregate.one_process)


def _scored(name: str, value: float, rows: Sequence[Row], added: Sums) -> Scored:
    error = intervals.estimate(value, {name: 1.0}, added) if name in added.dimensions else None
    empty = [row for row in rows if row.value is None]
    unjudged = () if name in LEFT_OUT else tuple(f"{row.prompt}-{row.index}: {row.note or 'no reason'}" for row in empty)
    prompts, videos = (len({key(row) for row in rows if row.value is not None}) for key in (_prompt, _video))
    return Scored(value, error, prompts, videos, len(empty) - len(unjudged), unjudged)


def _prompt(row: Row) -> str:
    return row.prompt


def _video(row: Row) -> tuple[str, int]:
    return row.prompt, row.index


def _remarks(
    scores: Mapping[str, float], means: Mapping[str, float], found: Mapping[str, Sequence[Row]], stated: Mapping[str, float]
) -> Iterable[str]:
    """What a reader should look at: scores that cannot be, and files whose videos say another thing than their first line."""
    for name, raw in scores.items():
        if not -1 <= raw <= 1:
            yield f"{name} is {raw:.6g}, and a score lies in [-1, 1]: were its weights loaded?"
    for name, raw in stated.items():
        weighed = all(row.weight is not None for row in found[name])
        both = {str(way): sums(found[name], way).mean().item() for way in Aggregate if found[name] and weighed}
        if both and all(abs(mean - raw) > _AGREES for mean in both.values()):
            yield f"{name}: the file states {raw:.6f}, its videos' mean is {means[name]:.6f}"


def _short(scheme: Scheme, name: str, scored: Scored) -> str:
    """How many prompts or videos the full suite has more of."""
    if not scored.videos or name == "color":
        return ""
    wanted = scheme.prompts[name]
    if scored.prompts < wanted:
        return f"{scored.prompts} of {wanted} prompts"
    videos = wanted * SAMPLES
    if scored.videos < videos and name != "temporal_flickering":
        return f"{scored.videos} of {videos} videos"
    return ""
