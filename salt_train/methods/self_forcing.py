"""Self Forcing: distribution matching on own rollouts with a cache, from a student that regressed the teacher's ODE.

Source: Huang et al. 2025 (arXiv 2506.08009).
"""

from __future__ import annotations

from salt_train import setups
from salt_train.methods.causal_forcing import few_step, rolled
from salt_train.objectives.ode_regression import ODERegression
from salt_train.recipe import Recipe

STAGES = ("ode", "dmd")


def self_forcing(stage: str = "dmd", points: int = 4, setup: str = "shapes") -> Recipe:
    """Stage "ode" regresses the ODE of the bidirectional teacher, "dmd" matches distributions on rollouts of `points` steps."""
    if stage not in STAGES:
        raise ValueError(f"a stage of Self Forcing is one of {', '.join(STAGES)}, got {stage!r}")
    on = setups.setup(setup)
    regression = ODERegression(on.grid(on.path), causal=False, guidance=on.ode_guidance)
    initial = few_step(regression, "ode", on, causal=False)
    return initial if stage == "ode" else rolled(initial, points, setup)
