"""Do the measured faults of public code matter? Each is switched on alone; `prompt_switch` has the one of re-caches."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing, few_step, rolled
from salt_train.methods.dmd import dmd
from salt_train.methods.shapes import GUIDANCE, SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.consistency_distillation import ConsistencyDistillation
from salt_train.objectives.dmd import DMD
from salt_train.recipe import Recipe
from salt_train.setups import setup

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
base = causal_forcing()


def trained_against(cache: CachePolicy) -> Recipe:
    """Sampled as ever; only training sees the other cache."""
    assert base.chunks is not None
    return replace(base, chunks=replace(base.chunks, cache=cache))


def distilled(**faults: bool) -> Recipe:
    return rolled(few_step(ConsistencyDistillation(even(16, SHIFT), guidance=GUIDANCE, **faults), "cd", setup("shapes")))


STUDY = replace(
    benchmark(
        "reference_faults",
        __doc__,
        arms={
            "none": base,
            "leaky cache": trained_against(Full(past="leaky")),
            "attached cache": trained_against(Full(past="attached")),
            "captions without gradient": trained_against(Full(frozen_text=True)),
            "scores at 8/5 of the shift": replace(base, objectives=(DMD(guidance=GUIDANCE, shift=SHIFT * 8 / 5),)),
            "average starts over": replace(base, ema_from=20),
            "bf16 step lengths": distilled(coarse_time=True),
            "last interval never drawn": distilled(skip_last=True),
            "sampler drops its last step": replace(dmd(), sampling=replace(dmd().sampling, drop_last=True)),
            "sampler keeps its last step": dmd(),
        },
        baseline="none",
        teacher=teacher(),
        grids=GRIDS,
    ),
    prompts=prompts(test=128, validation=32),
    probes=(),
)
