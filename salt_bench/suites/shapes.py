"""The benchmark of the embedded world: its prompts, all of its judges, and the probes of a few-step model.

Its numbers are "Shapes" numbers, never VBench numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from salt_bench.judges.background_consistency import BackgroundConsistency
from salt_bench.judges.dynamic_degree import DynamicDegree
from salt_bench.judges.motion_smoothness import MotionSmoothness
from salt_bench.judges.shapes import ShapesJudge
from salt_bench.judges.sharpness import Sharpness
from salt_bench.judges.subject_consistency import SubjectConsistency
from salt_bench.judges.temporal_flickering import TemporalFlickering
from salt_bench.probes.cross_step import CrossStep
from salt_bench.probes.semigroup_defect import SemigroupDefect
from salt_bench.samplers.truth import Truth
from salt_bench.setjudges.diversity import Diversity
from salt_bench.setjudges.frechet import Frechet
from salt_bench.types import Arm, Prompt, Study
from salt_bench.worlds.shapes import ShapesWorld

Grid = tuple[float, ...]
JUDGES = (
    ShapesJudge(),
    TemporalFlickering(),
    DynamicDegree(),
    MotionSmoothness(),
    SubjectConsistency(),
    BackgroundConsistency(),
    Sharpness(),
)
SETJUDGES = (Frechet(), Diversity())


def prompts(test: int = 256, validation: int = 64) -> tuple[Prompt, ...]:
    """The first `validation` validation prompts and the first `test` test prompts of the world's fixed order."""
    world = ShapesWorld()
    return (*world.prompts("validation")[:validation], *world.prompts("test")[:test])


def benchmark(
    name: str, question: str, arms: Mapping[str, Arm], baseline: str, teacher: Arm, grids: Mapping[int, Grid]
) -> Study:
    """A study of `arms` at 4 steps with everything that this world measures, anchored by the truth and the `teacher`.
    `grids` maps 2, 4, 8 and 16 to their noise levels. What differs from this is changed with `replace`."""
    return Study(
        name=name,
        question=question.strip(),
        arms=arms,
        anchors={"truth": Truth(ShapesWorld()), "teacher": teacher},
        baseline=baseline,
        prompts=prompts(),
        settings={"4 steps": grids[4]},
        judges=JUDGES,
        setjudges=SETJUDGES,
        probes=(SemigroupDefect(grids[4], grids[8]), CrossStep(_nested(grids, (2, 4, 8, 16)))),
    )


def _nested(grids: Mapping[int, Grid], steps: Sequence[int]) -> tuple[Grid, ...]:
    return tuple(grids[k] for k in steps)
