"""The embedded world's teacher: flow matching on true videos, sampled in 32 guided steps.

Source: Liu et al. 2022 (arXiv 2209.03003), flow matching; Ho & Salimans 2022 (arXiv 2207.12598), guidance.
"""

from __future__ import annotations

from salt_train.flow import even
from salt_train.methods.shapes import BACKBONE, CODEC, GUIDANCE, SHIFT, WORLD
from salt_train.objectives.flow_matching import FlowMatching
from salt_train.recipe import Optimiser, Recipe, Sampling


def teacher(steps: int = 6500, batch: int = 64) -> Recipe:
    """`steps` updates of `batch` videos, each rendered once and never seen again."""
    return Recipe(
        world=WORLD,
        codec=CODEC,
        backbone=BACKBONE,
        objectives=(FlowMatching(shift=SHIFT),),
        sampling=Sampling(even(32, SHIFT), guidance=GUIDANCE),
        steps=steps,
        batch=batch,
        optimiser=Optimiser(rate=2e-3, muon=True, warmup=50, decay=0.5),
        ema=0.998,
    )
