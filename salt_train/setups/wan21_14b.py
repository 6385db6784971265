"""Wan 2.1 with a student and a critic as large as their teacher, 14B.

No such recipe of the paper is public: all constants are those of 1.3B, but for the rates, which become a half for the student
and a quarter for the critic, as rCM has them at these sizes.
"""

from __future__ import annotations

from dataclasses import replace

from salt_train.setups.base import Stage
from salt_train.setups.wan21 import LARGE_RECIPE, WAN_14B, gpus
from salt_train.setups.wan21 import SETUP as SMALL


def slower(stage: Stage) -> Stage:
    critic = stage.critic and replace(stage.critic, rate=stage.critic.rate / 4)
    return replace(stage, optimiser=replace(stage.optimiser, rate=stage.optimiser.rate / 2), critic=critic)


SETUP = replace(
    SMALL,
    recipe=LARGE_RECIPE,
    causal=replace(WAN_14B, timeless=True),
    base=LARGE_RECIPE,
    stages={name: slower(stage) for name, stage in SMALL.stages.items()},
    # What a rollout of one video keeps fits into no single GPU.
    layouts={"8x80GB": gpus(8, 80, offload=True, sequence=8)},
)
