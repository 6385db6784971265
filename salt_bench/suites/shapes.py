"""The benchmarks of the embedded world: short clips (`benchmark`), long ones (`long_benchmark`), and captions that change in
the middle (`switch_benchmark`), each with its prompts, judges and anchors.

Its numbers are "Shapes" numbers, never VBench numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from salt_bench.judges.background_consistency import BackgroundConsistency
from salt_bench.judges.chunk_jumps import ChunkJumps
from salt_bench.judges.drift import Drift
from salt_bench.judges.dynamic_degree import DynamicDegree
from salt_bench.judges.motion_smoothness import MotionSmoothness
from salt_bench.judges.overall_consistency import OverallConsistency
from salt_bench.judges.prompt_switch import PromptSwitch
from salt_bench.judges.repetition import Repetition
from salt_bench.judges.shapes import ShapesJudge
from salt_bench.judges.sharpness import Sharpness
from salt_bench.judges.style import Style
from salt_bench.judges.subject_consistency import SubjectConsistency
from salt_bench.judges.temporal_flickering import TemporalFlickering
from salt_bench.judges.temporal_style import TemporalStyle
from salt_bench.probes.cross_step import CrossStep
from salt_bench.probes.semigroup_defect import SemigroupDefect
from salt_bench.samplers.truth import Truth
from salt_bench.setjudges.diversity import Diversity
from salt_bench.setjudges.frechet import Frechet
from salt_bench.types import Arm, Prompt, Study
from salt_bench.worlds.base import switch
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
SEMANTIC_JUDGES = (Style(), TemporalStyle(), OverallConsistency())
"""What a learned model says of the caption. With JUDGES they give every dimension of `composites.shapes_total`:
`replace(study, judges=(*JUDGES, *SEMANTIC_JUDGES))`."""
LONG_JUDGES = (Drift(), ChunkJumps(), Repetition(), TemporalFlickering(), SubjectConsistency(), BackgroundConsistency())
SWITCH_JUDGES = (PromptSwitch(),)
SETJUDGES = (Frechet(), Diversity())


def prompts(test: int = 256, validation: int = 64) -> tuple[Prompt, ...]:
    """The first `validation` validation prompts and the first `test` test prompts of the world's fixed order."""
    world = ShapesWorld()
    return (*world.prompts("validation")[:validation], *world.prompts("test")[:test])


def rollouts(test: int = 64, validation: int = 16, motions: Sequence[str] = ("still",)) -> tuple[Prompt, ...]:
    """Prompts for clips of any length: the first `validation` and `test` ones whose motion is one of `motions`, in the world's
    fixed order. Of what stands still, the truth is exact at every length."""
    return (*_moving("validation", motions)[:validation], *_moving("test", motions)[:test])


def switches(n: int = 64, at: int = 12, split: str = "test") -> tuple[Prompt, ...]:
    """`n` prompts of `split` whose caption changes at frame `at`: both stand still, and they differ in two or more of what a
    single frame shows (colours, shapes, scene, size, count), so that the one is never true of the other."""
    still = _moving(split, ("still",))
    order = ((one, still[(i + step) % len(still)]) for step in range(1, len(still)) for i, one in enumerate(still))
    found = tuple(islice((switch(a, b, at) for a, b in order if differences(a, b) >= 2), n))
    if len(found) < n:
        raise ValueError(f"the {split} prompts give {len(found)} switches, got n = {n}")
    return found


def differences(one: Prompt, other: Prompt) -> int:
    """In how many of colours, shapes, scene, size and count the pictures of two prompts differ; which object comes first in the
    caption is no difference."""
    return sum(_shown(one, name) != _shown(other, name) for name in ("colour", "shape", "scene", "size", "count"))


def _shown(prompt: Prompt, name: str) -> list[str]:
    return sorted(value for key, value in prompt.factors.items() if key in (name, name + "2"))


def _moving(split: str, motions: Sequence[str]) -> list[Prompt]:
    return [prompt for prompt in ShapesWorld().prompts(split) if prompt.factors["motion"] in motions]


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


def long_benchmark(
    name: str,
    question: str,
    arms: Mapping[str, Arm],
    baseline: str,
    grids: Mapping[int, Grid],
    frames: int = 96,
    chunk: int = 4,
) -> Study:
    """A study at 4 steps of `arms` whose clips are `frames` long and made in chunks of `chunk` frames: drift, jumps between
    chunks, consistency. For repetition, ask for what moves: `replace(study, prompts=rollouts(motions=("left", "up")))`."""
    anchors = {"truth": Truth(ShapesWorld(), frames, chunk)}
    return Study(name, question.strip(), arms, anchors, baseline, rollouts(), {"4 steps": grids[4]}, LONG_JUDGES)


def switch_benchmark(
    name: str,
    question: str,
    arms: Mapping[str, Arm],
    baseline: str,
    grids: Mapping[int, Grid],
    frames: int = 36,
    chunk: int = 4,
    at: int = 12,
) -> Study:
    """As `long_benchmark`, of captions that change at frame `at`: how many chunks until the clip shows the new one?"""
    anchors = {"truth": Truth(ShapesWorld(), frames, chunk)}
    asked = (*switches(16, at, "validation"), *switches(64, at))
    return Study(name, question.strip(), arms, anchors, baseline, asked, {"4 steps": grids[4]}, SWITCH_JUDGES)


def _nested(grids: Mapping[int, Grid], steps: Sequence[int]) -> tuple[Grid, ...]:
    return tuple(grids[k] for k in steps)
