"""Causal Forcing: an autoregressive teacher first, then its few-step student, then distribution matching on own rollouts.

Source: Zhu et al. 2026 (arXiv 2602.02214); stage "cd": Causal Forcing++ (arXiv 2605.15141).
"""

from __future__ import annotations

from dataclasses import replace

from salt_train import setups
from salt_train.methods.dmd import dmd
from salt_train.objectives.base import Objective
from salt_train.objectives.consistency_distillation import ConsistencyDistillation
from salt_train.objectives.ode_regression import ODERegression
from salt_train.recipe import Recipe, Sampling
from salt_train.setups.base import Setup

STAGES = ("ar", "cd", "ode", "dmd")


def causal_forcing(stage: str = "dmd", points: int = 4, setup: str = "shapes") -> Recipe:
    """Stage "ar" (1) learns with teacher forcing, from the bidirectional network's weights. "cd" (2b, consistency distillation,
    where stage 3 starts) or "ode" (2a, ODE regression) makes it a few-step model. "dmd" (3) is Self Forcing's own."""
    if stage not in STAGES:
        raise ValueError(f"a stage of Causal Forcing is one of {', '.join(STAGES)}, got {stage!r}")
    on = setups.setup(setup)
    if stage == "ar":
        return _autoregressive(on)
    if stage == "cd":
        return few_step(ConsistencyDistillation(on.grid(on.path), guidance=on.distill_guidance), "cd", on)
    if stage == "ode":
        return few_step(ODERegression(on.grid(on.path), guidance=on.ode_guidance), "ode", on)
    return rolled(causal_forcing("cd", setup=setup), points, setup)


def _autoregressive(on: Setup) -> Recipe:
    sampling = Sampling(on.grid(16), guidance=on.guidance, chunks=on.chunks)
    return replace(_stage(on, "ar", on.autoregressive, sampling), init=on.start)


def few_step(objective: Objective, stage: str, on: Setup, causal: bool = True) -> Recipe:
    """A student of the autoregressive teacher (`causal`) or of the bidirectional one, on true videos or the teacher's own."""
    student = _stage(on, stage, objective, Sampling(on.grid(4), update="sde", chunks=on.chunks))
    return replace(student, teacher=_autoregressive(on) if causal else on.start, grid=on.grid(4))


def _stage(on: Setup, name: str, objective: Objective, sampling: Sampling) -> Recipe:
    """A causal network that learns as long and as fast as the stage says."""
    stage = on.stages[name]
    return replace(
        on.recipe,
        backbone=on.causal,
        objectives=(objective,),
        sampling=sampling,
        chunks=on.chunks,
        steps=stage.steps,
        batch=stage.batch,
        optimiser=stage.optimiser,
        ema=stage.ema,
        weights="",
    )


def rolled(init: Recipe, points: int = 4, setup: str = "shapes") -> Recipe:
    """Distribution matching on the student's own rollouts, chunk by chunk (Self Forcing), from the weights of `init`."""
    on, base = setups.setup(setup), dmd(points, setup=setup)
    sampling = replace(base.sampling, update="sde", chunks=on.chunks)
    return replace(base, backbone=on.causal, sampling=sampling, update="sde", init=init, chunks=on.chunks)
