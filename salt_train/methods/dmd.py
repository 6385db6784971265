"""DMD: distribution matching distillation on a fixed grid.

Source: Yin et al. 2023 (arXiv 2311.18828); Salt (arXiv 2604.03118), "DMD".
"""

from __future__ import annotations

from dataclasses import replace

from salt_train import setups
from salt_train.objectives.dmd import DMD
from salt_train.recipe import Recipe, Sampling


def dmd(points: int = 4, steps: int | None = None, setup: str = "shapes") -> Recipe:
    """`steps` student updates (None: the setup's) on the grid of `points` (DMD-4, DMD-8 …); sampled in 4 steps unless asked
    otherwise with `at`.

    In the embedded world the critic makes two updates for each of the student's, at three times its rate. A student at the
    critic's rate of 3e-4 was worse (100 updates, one seed, 128 validation prompts: Shapes accuracy .909 against .942, Fréchet
    2.19 against 1.63). More than 60 updates buy nothing that these prompts show (DMD-8 at 60: .937 and .942, 1.68 and 1.68 at
    two seeds)."""
    on = setups.setup(setup)
    stage = on.stages["dmd"]
    return replace(
        on.recipe,
        objectives=(DMD(guidance=on.guidance, shift=on.shift),),
        sampling=Sampling(on.grid(4)),
        steps=stage.steps if steps is None else steps,
        batch=stage.batch,
        optimiser=stage.optimiser,
        ema=stage.ema,
        ema_from=stage.ema_from,
        teacher=on.teacher,
        grid=on.grid(points),
        critic_updates=stage.critic_updates,
        critic=stage.critic,
        init=on.base,
        critic_init=on.base,
        weights="",
    )
