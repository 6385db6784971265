"""How much surer the full suite is than a smaller one, by simulation: `show()` prints it.

Nobody publishes VBench's results video by video, so the spread of a single video's score is assumed (`SPREAD`), and so is how
much of its variance is the prompt's, the same for every sample of it. What a smaller suite loses relative to the full one hangs
on that share alone; the table has three. Prompts are worth more than samples: a fifth of the prompts, five videos each, costs
as much as every prompt once, and is less sure by far. So "lite" has one video for every second prompt.

Standard error of Total in points of a hundred, beside the full suite's, where 20%, 50%, 80% of the variance is the prompt's:

    design                         videos   error              × full
    full                            4730    0.28 0.36 0.42     1    1    1
    lite                             475    0.64 0.64 0.64     2.3  1.8  1.5    <- used
    every prompt once                946    0.46 0.46 0.46     1.6  1.3  1.1
    every fifth prompt, 5 times      960    0.59 0.76 0.90     2.1  2.1  2.1
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from salt_bench.composites.vbench_total import PROMPTS, SCHEME
from salt_bench.prompts.vbench import FOLDERS

SPREAD = {
    "subject_consistency": 0.03,
    "background_consistency": 0.02,
    "temporal_flickering": 0.01,
    "motion_smoothness": 0.01,
    "dynamic_degree": 0.49,
    "aesthetic_quality": 0.07,
    "imaging_quality": 0.09,
    "object_class": 0.25,
    "multiple_objects": 0.45,
    "human_action": 0.22,
    "color": 0.25,
    "spatial_relationship": 0.40,
    "scene": 0.45,
    "appearance_style": 0.03,
    "temporal_style": 0.05,
    "overall_consistency": 0.05,
}
"""Dimension → the assumed standard deviation of one video's score; those of yes and no follow from published means."""
SHARES = (0.2, 0.5, 0.8)
"""How much of that variance is the prompt's."""


@dataclass(frozen=True)
class Design:
    """A way to ask less: every `step`-th prompt of each group, `samples` videos each."""

    name: str
    step: int
    samples: int

    def prompts(self, dimension: str) -> int:
        return ceil(PROMPTS[dimension] / self.step)

    @property
    def videos(self) -> int:
        """Without those that a filter chooses from; two of the full suite's prompts are counted in both of their groups."""
        return self.samples * sum(self.prompts(name) for name in PROMPTS if name not in FOLDERS)


FULL = Design("full", 1, 5)
LITE = Design("lite", 2, 1)
DESIGNS = (FULL, LITE, Design("every prompt once", 1, 1), Design("every fifth prompt, 5 times", 5, 5))


@dataclass(frozen=True)
class Loss:
    """Standard deviations of Total, as shares: of the full suite's and of the design's about the truth, and of the design's
    about what the full suite says of the same model, of whose videos it has a part."""

    full: float
    design: float
    apart: float

    @property
    def ratio(self) -> float:
        return self.design / self.full


def loss(design: Design, share: float, repetitions: int = 2000, seed: int = 0) -> Loss:
    """Simulates the full suite, and takes the design's part of it. `share` of the variance is the prompts'."""
    draws, slopes = np.random.default_rng(seed), SCHEME.slopes("total")
    whole, part = np.zeros((2, repetitions))
    for name, slope in slopes.items():
        scores = SPREAD[name] * _videos(draws, (repetitions, PROMPTS[name], FULL.samples), share)
        whole += slope * scores.mean((1, 2))
        part += slope * scores[:, :: design.step, : design.samples].mean((1, 2))
    return Loss(float(whole.std()), float(part.std()), float((part - whole).std()))


def _videos(draws: np.random.Generator, shape: tuple[int, int, int], share: float) -> np.ndarray:
    """Standard scores (repetitions, prompts, samples)."""
    prompts = draws.normal(size=(*shape[:2], 1))
    return np.sqrt(share) * prompts + np.sqrt(1 - share) * draws.normal(size=shape)


def lost(name: str) -> str:
    """What a size of the suite costs in precision, in a sentence; "" for a size that is not among `DESIGNS`."""
    for design in DESIGNS:
        if design.name == name and design is not FULL:
            ratios = [loss(design, share, 500).ratio for share in SHARES]
            return (
                f"{name}: Total's standard error is {min(ratios):.1f} to {max(ratios):.1f} times the full suite's "
                f"(by simulation: {max(SHARES):.0%} to {min(SHARES):.0%} of a video's variance is its prompt's)"
            )
    return ""


def table(repetitions: int = 500) -> str:
    """One line for each design: what it costs, and by how much its Total is less sure, in points of a hundred."""
    heads = "".join(f"{f'{share:.0%} of variance the prompt':>40}" for share in SHARES)
    lines = [
        f"{'':30}{'':8}{heads}",
        f"{'design':30}{'videos':>8}" + f"{'error':>16}{'× full':>12}{'off full':>12}" * len(SHARES),
    ]
    for design in DESIGNS:
        losses = [loss(design, share, repetitions) for share in SHARES]
        cells = "".join(f"{100 * one.design:16.2f}{one.ratio:12.2f}{100 * one.apart:12.2f}" for one in losses)
        lines.append(f"{design.name:30}{design.videos:8}{cells}")
    return "\n".join(lines)


def show() -> None:
    """Prints the table: standard errors of Total, their ratio to the full suite's, and how far off the full suite's word."""
    print(table())


if __name__ == "__main__":
    show()
