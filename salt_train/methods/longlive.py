"""LongLive: a window with sinks, then streaming tuning on videos that go on from update to update and change their caption."""

from __future__ import annotations

from dataclasses import replace

from salt_train.caches.window import Window
from salt_train.methods.causal_forcing import rolled
from salt_train.methods.self_forcing import self_forcing
from salt_train.methods.shapes import CHUNKS
from salt_train.recipe import Recipe, Stream

STAGES = ("short", "long")
WINDOW = Window(window=6, sink=2)
"""Two sinks, two past frames and the chunk itself: a third of the proportions of LongLive's 12 with 3 sinks."""


def longlive(stage: str = "long", points: int = 4, steps: int = 60) -> Recipe:
    """Stage "short" is Self Forcing with a window of 6 latent frames, 2 of them sinks; "long" tunes it on videos of up to 5
    times the training length, of which every update makes 4 new frames, and half of which change their caption."""
    if stage not in STAGES:
        raise ValueError(f"a stage of LongLive is one of {', '.join(STAGES)}, got {stage!r}")
    chunks = replace(CHUNKS, cache=WINDOW)
    base = rolled(self_forcing("ode"), points)
    short = replace(base, chunks=chunks, sampling=replace(base.sampling, chunks=chunks))
    if stage == "short":
        return short
    return replace(short, init=short, steps=steps, stream=Stream(new=4, longest=30, switches=0.5))
