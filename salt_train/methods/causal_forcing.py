"""Causal Forcing: an autoregressive teacher first, then its few-step student, then distribution matching on own rollouts."""

from __future__ import annotations

from dataclasses import replace

from salt_train.flow import even
from salt_train.methods.dmd import dmd
from salt_train.methods.shapes import CAUSAL, CHUNKS, CODEC, GUIDANCE, SHIFT, WORLD
from salt_train.methods.teacher import teacher
from salt_train.objectives.base import Objective
from salt_train.objectives.consistency_distillation import ConsistencyDistillation
from salt_train.objectives.ode_regression import ODERegression
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.recipe import Optimiser, Recipe, Sampling

STAGES = ("ar", "cd", "ode", "dmd")


def causal_forcing(stage: str = "dmd", points: int = 4) -> Recipe:
    """Stage "ar" (1) learns with teacher forcing, from the bidirectional teacher's weights. "cd" (2b, consistency distillation,
    where stage 3 starts) or "ode" (2a, ODE regression) makes it a few-step model. "dmd" (3) is Self Forcing's own."""
    if stage not in STAGES:
        raise ValueError(f"a stage of Causal Forcing is one of {', '.join(STAGES)}, got {stage!r}")
    if stage == "ar":
        return _autoregressive()
    if stage == "cd":
        return few_step(ConsistencyDistillation(even(16, SHIFT), guidance=GUIDANCE), steps=150)
    if stage == "ode":
        return few_step(ODERegression(even(16, SHIFT), guidance=GUIDANCE), steps=60)
    return rolled(init=causal_forcing("cd"), points=points)


def _autoregressive(steps: int = 800, batch: int = 32) -> Recipe:
    return Recipe(
        world=WORLD,
        codec=CODEC,
        backbone=CAUSAL,
        objectives=(TeacherForcing(shift=SHIFT, dropout=0.1, weighting="preconditioned"),),
        sampling=Sampling(even(16, SHIFT), guidance=GUIDANCE, chunks=CHUNKS),
        steps=steps,
        batch=batch,
        optimiser=Optimiser(rate=1e-3, muon=True, warmup=20, decay=0.5),
        ema=0.99,
        init=teacher(),
        chunks=CHUNKS,
    )


def few_step(objective: Objective, steps: int, causal: bool = True) -> Recipe:
    """A student of the autoregressive teacher (`causal`) or of the bidirectional one, on true videos or the teacher's own."""
    return Recipe(
        world=WORLD,
        codec=CODEC,
        backbone=CAUSAL,
        objectives=(objective,),
        sampling=Sampling(even(4, SHIFT), update="sde", chunks=CHUNKS),
        steps=steps,
        batch=16,
        optimiser=Optimiser(rate=5e-4, warmup=10, decay=0.5),
        ema=0.95,
        teacher=_autoregressive() if causal else teacher(),
        grid=even(4, SHIFT),
        chunks=CHUNKS,
    )


def rolled(init: Recipe, points: int = 4) -> Recipe:
    """Distribution matching on the student's own rollouts, chunk by chunk (Self Forcing), from the weights of `init`."""
    base = dmd(points)
    sampling = replace(base.sampling, update="sde", chunks=CHUNKS)
    return replace(base, backbone=CAUSAL, sampling=sampling, update="sde", init=init, chunks=CHUNKS)
