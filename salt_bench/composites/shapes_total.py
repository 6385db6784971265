"""Shapes Quality, Shapes Semantic and Shapes Total: the embedded world's dimensions in one number, in VBench's form.

Every dimension becomes points, 0 at its floor and 100 at the world's truth, and is not clipped: more motion than the truth's is
worth more than 100, as in VBench more motion is always better. Quality and Semantic are weighted means, and Total =
(4 · Quality + Semantic) / 5. The dimensions, networks and anchors are this world's own: the numbers stand beside no VBench
number.

A table goes in and a table comes out: one score per prompt, whose mean over the prompts is the composite of the dimensions'
means. So intervals, paired effects and verdicts are those of every other judge. What a dimension says of some prompts only (a
relation needs two objects) counts there as many times as makes up for the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from salt_bench import long
from salt_bench.dense import Dense
from salt_bench.stats.effects import Summary, summary
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Output, Score

NAME = "shapes_total"
# the margins are choices, not measurements: a hundredth of the way from the floor to the truth, two where learned judges count
OUTPUTS: Mapping[str, Output] = {
    "quality": Output("Shapes points", +1, 1.0, title="Shapes Quality"),
    "semantic": Output("Shapes points", +1, 2.0, title="Shapes Semantic"),
    "total": Output("Shapes points", +1, 1.0, title="Shapes Total"),
}
QUALITY, SEMANTIC = "quality", "semantic"
SHARE: Mapping[str, float] = {QUALITY: 0.8, SEMANTIC: 0.2}
"""Of a half in Total."""


@dataclass(frozen=True)
class Dimension:
    """`part` of `judge`: 0 points at `floor`, the mean of `worst`, and 100 at `truth`, the world's own; it counts `weight`
    times in its `half`."""

    half: str
    judge: str
    part: str
    floor: float
    truth: float
    worst: str
    weight: float = 1.0

    def points(self, value: float) -> float:
        return 100.0 * (value - self.floor) / (self.truth - self.floor)

    def __str__(self) -> str:
        return f"{self.judge} {self.part}"


OTHER = "the next prompt's video"
# All anchors are means over the 512 test prompts at seed 0. The floor of quality is the corruption that hurts a dimension most
# (reports/judges); that of the other half is the video of the next prompt, in the world's order, under each caption.
DIMENSIONS: tuple[Dimension, ...] = (
    Dimension(QUALITY, "subject_consistency", "score", 0.915302, 0.991786, "vanish"),
    Dimension(QUALITY, "background_consistency", "score", 0.940165, 0.999993, "double"),
    Dimension(QUALITY, "temporal_flickering", "score", 0.949234, 0.990765, "noise"),
    Dimension(QUALITY, "motion_smoothness", "score", 0.966508, 0.997736, "flicker"),
    Dimension(QUALITY, "sharpness", "score", 0.287322, 0.63538, "blur"),  # in the place of imaging quality
    Dimension(QUALITY, "dynamic_degree", "dynamic", 0.0, 0.666016, "freeze", 0.5),
    Dimension(SEMANTIC, "shapes", "shape", 0.1426, 1.0, OTHER),  # object class
    Dimension(SEMANTIC, "shapes", "count", 0.5469, 1.0, OTHER),  # multiple objects
    Dimension(SEMANTIC, "shapes", "motion", 0.1562, 1.0, OTHER),  # human action
    Dimension(SEMANTIC, "shapes", "colour", 0.0859, 1.0, OTHER),
    Dimension(SEMANTIC, "shapes", "relation", 0.15, 1.0, OTHER),  # spatial relationship
    Dimension(SEMANTIC, "shapes", "scene", 0.2461, 1.0, OTHER),
    Dimension(SEMANTIC, "style", "score", 0.1414, 0.738, OTHER),
    Dimension(SEMANTIC, "temporal_style", "score", -0.1412, 0.0951, OTHER),
    Dimension(SEMANTIC, "overall_consistency", "score", -0.0128, 0.9422, OTHER),
)

Means = Mapping[tuple[str, str], float]
"""(judge, part) → the mean of its values."""


def composite(means: Means) -> dict[str, float | None]:
    """The three composites of the dimensions' means; None for one that lacks a dimension, see `missing`."""
    absent = missing(means)
    found = {name: None if absent[name] else _half(name, means) for name in SHARE}
    return {**found, "total": None if absent["total"] else sum(SHARE[name] * _half(name, means) for name in SHARE)}


def missing(measured: Collection[tuple[str, str]]) -> dict[str, list[str]]:
    """Composite → the dimensions that it lacks."""
    halves = {name: [str(d) for d in _of(name) if (d.judge, d.part) not in measured] for name in SHARE}
    return {**halves, "total": [name for half in halves.values() for name in half]}


def _half(name: str, means: Means) -> float:
    return sum(_share(d) * d.points(means[d.judge, d.part]) for d in _of(name))


def _of(half: str) -> list[Dimension]:
    return [d for d in DIMENSIONS if d.half == half]


def _share(dimension: Dimension) -> float:
    """Of a dimension in its half."""
    return dimension.weight / sum(d.weight for d in _of(dimension.half))


def scores(rows: Iterable[Score], prompts: Collection[str] | None = None) -> list[Score]:
    """One score per (arm, setting, training seed, sample seed, prompt), of `prompts` (all of them where None). A composite that
    lacks a dimension is None, and the note says which."""
    runs: dict[tuple[str, str, int, int], list[Score]] = defaultdict(list)
    for row in rows:
        if row.prompt is not None and (prompts is None or row.prompt in prompts):
            runs[row.arm, row.setting, row.train_seed, row.sample_seed].append(row)
    return sorted((score for key, run in runs.items() for score in _run(key, run)), key=Score.key)


Values = dict[str, float]
"""Prompt → value."""


def _run(key: tuple[str, str, int, int], rows: Sequence[Score]) -> list[Score]:
    """The scores of one run, whose rows they are."""
    arm, setting, train_seed, sample_seed = key
    found = _values(rows)
    asked = sorted({row.prompt for row in rows if row.prompt is not None})
    absent = missing(found)
    note = f"missing: {', '.join(absent['total'])}" if absent["total"] else ""
    halves = {name: None if absent[name] else _contributions(name, found, asked) for name in SHARE}
    return [Score(arm, setting, train_seed, prompt, sample_seed, NAME, _parts(halves, prompt), note=note) for prompt in asked]


def _values(rows: Sequence[Score]) -> dict[tuple[str, str], Values]:
    """(judge, part) → what was judged, of the dimensions alone."""
    wanted = {(d.judge, d.part) for d in DIMENSIONS}
    found: dict[tuple[str, str], Values] = defaultdict(dict)
    for row in rows:
        for part, value in row.values.items():
            if (row.judge, part) in wanted and row.prompt is not None and value is not None:
                found[row.judge, part][row.prompt] = value
    return dict(found)


def _contributions(half: str, found: Mapping[tuple[str, str], Values], asked: Sequence[str]) -> Values:
    """What each prompt adds to a half: the mean over `asked` is the half of the dimensions' means."""
    total = dict.fromkeys(asked, 0.0)
    for dimension in _of(half):
        values = found[dimension.judge, dimension.part]
        for prompt, value in values.items():
            total[prompt] += _share(dimension) * dimension.points(value) * len(asked) / len(values)
    return total


def _parts(halves: Mapping[str, Values | None], prompt: str) -> dict[str, float | None]:
    said = {name: None if values is None else values[prompt] for name, values in halves.items()}
    known = {name: value for name, value in said.items() if value is not None}
    total = sum(SHARE[name] * value for name, value in known.items()) if len(known) == len(SHARE) else None
    return {**said, "total": total}


def summaries(rows: Iterable[Score], prompts: Collection[str] | None = None) -> dict[tuple[str, str, str], Summary]:
    """(arm, setting, composite) → its mean with a 95% interval over training seeds and prompts. What lacks a dimension is left
    out; the notes of `scores` say why."""
    found = scores(rows, prompts)
    table = Table(long.frame(Dense.of(found)))
    known = sorted({(s.arm, s.setting, part) for s in found for part, value in s.values.items() if value is not None})
    return {(arm, setting, part): summary(table, Quantity(setting, NAME, part), arm) for arm, setting, part in known}
