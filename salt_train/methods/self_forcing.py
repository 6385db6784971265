"""Self Forcing: distribution matching on own rollouts with a cache, from a student that regressed the teacher's ODE."""

from __future__ import annotations

from salt_train.flow import even
from salt_train.methods.causal_forcing import few_step, rolled
from salt_train.methods.shapes import GUIDANCE, SHIFT
from salt_train.objectives.ode_regression import ODERegression
from salt_train.recipe import Recipe

STAGES = ("ode", "dmd")


def self_forcing(stage: str = "dmd", points: int = 4) -> Recipe:
    """Stage "ode" regresses the ODE of the bidirectional teacher, "dmd" matches distributions on rollouts of `points` steps."""
    if stage not in STAGES:
        raise ValueError(f"a stage of Self Forcing is one of {', '.join(STAGES)}, got {stage!r}")
    initial = few_step(ODERegression(even(16, SHIFT), causal=False, guidance=GUIDANCE), steps=60, causal=False)
    return initial if stage == "ode" else rolled(initial, points)
