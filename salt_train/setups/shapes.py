"""The embedded world: everything is small, and a student is the teacher's own network."""

from __future__ import annotations

from salt_train.caches.window import Window
from salt_train.methods.shapes import CAUSAL, CHUNKS, GUIDANCE, SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.recipe import Optimiser, Stream
from salt_train.setups.base import Setup, Stage

CRITIC = Optimiser(rate=3e-4, betas=(0.0, 0.99))
FEW_STEP = Optimiser(rate=5e-4, warmup=10, decay=0.5)
MATCHING = Stage(60, 8, Optimiser(rate=1e-4, betas=(0.0, 0.99)), ema=0.95, critic=CRITIC, critic_updates=2)

SETUP = Setup(
    recipe=teacher(),
    causal=CAUSAL,
    teacher=teacher(),
    base=None,
    chunks=CHUNKS,
    window=Window(window=6, sink=2),  # two sinks, two past frames and the chunk itself
    stream=Stream(new=4, longest=30, switches=0.5),
    shift=SHIFT,
    guidance=GUIDANCE,
    ode_guidance=GUIDANCE,
    distill_guidance=GUIDANCE,
    path=16,
    stages={
        "ar": Stage(800, 32, Optimiser(rate=1e-3, muon=True, warmup=20, decay=0.5), ema=0.99),
        "ode": Stage(60, 16, FEW_STEP, ema=0.95),
        "cd": Stage(150, 16, FEW_STEP, ema=0.95),
        "dmd": MATCHING,
        "salt": MATCHING,
        "long": MATCHING,
    },
    autoregressive=TeacherForcing(shift=SHIFT, dropout=0.1, weighting="preconditioned"),
    tap=2,  # the third block of 4, as the 21st of Wan's 30
    aligned_from={"causal_forcing": 20, "self_forcing": 20, "longlive": 20},  # a third of the run
)
