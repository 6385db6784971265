"""LongLive: a window with sinks, then streaming tuning on videos that go on from update to update and change their caption.

Source: Yang et al. 2025 (arXiv 2509.22622).
"""

from __future__ import annotations

from dataclasses import replace

from salt_train import setups
from salt_train.methods.causal_forcing import rolled
from salt_train.methods.self_forcing import self_forcing
from salt_train.recipe import Recipe

STAGES = ("short", "long")


def longlive(stage: str = "long", points: int = 4, setup: str = "shapes") -> Recipe:
    """Stage "short" is Self Forcing with a window that keeps its sinks; "long" tunes it on videos of several times the training
    length, of which every update makes a piece, and which may change their caption."""
    if stage not in STAGES:
        raise ValueError(f"a stage of LongLive is one of {', '.join(STAGES)}, got {stage!r}")
    on = setups.setup(setup)
    chunks = replace(on.chunks, cache=on.window)
    base = rolled(self_forcing("ode", setup=setup), points, setup)
    short = replace(base, chunks=chunks, sampling=replace(base.sampling, chunks=chunks))
    if stage == "short":
        return short
    long = on.stages["long"]
    learning = replace(short, steps=long.steps, batch=long.batch, optimiser=long.optimiser, critic=long.critic)
    return replace(learning, init=short, ema=long.ema, ema_from=long.ema_from, stream=on.stream, lora=long.lora)
