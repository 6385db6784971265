"""Wan 2.1 with the paper's constants: a 14B teacher, a 1.3B student and critic, 81 frames at 480×832.

Sources: arXiv 2604.03118 and its released configurations; Self Forcing, Causal Forcing and LongLive in their public
configurations. Where those count iterations with one student update in five, `steps` counts student updates. Differences,
all of them on purpose: σ is exact, one shift (5) serves student, teacher, critic and ODE paths, and the batch is what is asked
for. In its long stage LongLive tunes low-rank changes of rank 256 of student and critic, and so does this setup.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from salt_train.backbones.wan import WanSpec
from salt_train.caches.window import Window
from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.flow import even
from salt_train.layout import Fleet, Layout
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.prompt_file import PromptFile
from salt_train.recipe import LoRA, Optimiser, Recipe, Sampling, Stream
from salt_train.rollout import Chunks
from salt_train.setups.base import Setup, Stage

SHIFT = 5.0
SMALL, LARGE = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "Wan-AI/Wan2.1-T2V-14B-Diffusers"
ILLUSTRATED = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
WAN_1B = WanSpec(1536, 12, 30, 8960, frequencies=256, waves=0, precondition=False)
WAN_14B = WanSpec(5120, 40, 40, 13824, frequencies=256, waves=0, precondition=False)
GUIDED = Sampling(even(50, SHIFT), guidance=5.0)

BETAS = (0.0, 0.999)


def adam(rate: float, betas: tuple[float, float] = BETAS) -> Optimiser:
    """AdamW as in every public recipe: weight decay .01, gradients clipped at 10."""
    return Optimiser(rate, betas, weight_decay=0.01, clip=10.0)


def released(source: str, network: WanSpec) -> Recipe:
    """A published network: nothing is trained, its weights are read from `source`, a folder or a hub's name."""
    return Recipe(
        world=PromptFile("vidprom_filtered_extended.txt"),
        codec=WanVAE(SMALL),
        text=UMT5(SMALL),
        backbone=network,
        objectives=(),
        sampling=GUIDED,
        steps=0,
        batch=64,
        optimiser=adam(2e-6),
        weights=source,
    )


def gpus(count: int, gigabytes: int, **more: Any) -> Fleet:
    """One video at once on each, what does not learn in bfloat16; networks are cut among several."""
    how = Layout(device="cuda", micro=1, shard=count > 1, frozen="bfloat16", checkpointing=True)
    return Fleet(count, gigabytes * 10**9, replace(how, **more))


SMALL_RECIPE, LARGE_RECIPE = released(SMALL, WAN_1B), released(LARGE, WAN_14B)
MATCHING = Stage(120, 64, adam(2e-6), ema=0.99, ema_from=40, critic=adam(4e-7), critic_updates=5)

SETUP = Setup(
    recipe=SMALL_RECIPE,
    causal=replace(WAN_1B, timeless=True),
    teacher=LARGE_RECIPE,
    base=SMALL_RECIPE,
    chunks=Chunks(size=3),
    window=Window(window=12, sink=3),
    stream=Stream(new=18, longest=240, switches=1.0),
    shift=SHIFT,
    guidance=4.0,  # "3" in the released form c + g·(c - u)
    ode_guidance=6.0,
    distill_guidance=3.0,
    path=48,
    stages={
        "ar": Stage(2000, 64, adam(2e-6)),
        "ode": Stage(1000, 64, adam(2e-6, (0.9, 0.999))),
        "cd": Stage(3000, 64, adam(2e-6), ema=0.99),
        "dmd": MATCHING,
        "salt": replace(MATCHING, steps=400),  # how long the released ones ran is not public; alignment begins by 240
        "long": replace(MATCHING, steps=600, optimiser=adam(1e-5), critic=adam(2e-6), lora=LoRA(256, 256)),
    },
    autoregressive=TeacherForcing(shift=SHIFT, weighting="bell"),
    tap=20,
    aligned_from={"causal_forcing": 140, "self_forcing": 200, "longlive": 240},  # iterations 700, 1000 and 1200
    layouts={"8x80GB": gpus(8, 80), "1x141GB": gpus(1, 141)},
)
