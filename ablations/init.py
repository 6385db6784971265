"""What should a causal student start from? Self Forcing's regression, Causal Forcing's stages, or the bidirectional weights."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing, rolled
from salt_train.methods.self_forcing import self_forcing
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

STUDY = replace(
    benchmark(
        "init",
        __doc__,
        arms={
            "Self Forcing: ODE of the bidirectional teacher": rolled(self_forcing("ode")),
            "Causal Forcing: consistency distillation": rolled(causal_forcing("cd")),
            "Causal Forcing: ODE of the causal teacher": rolled(causal_forcing("ode")),
            "causal teacher, no distillation": rolled(causal_forcing("ar")),
            "bidirectional weights": rolled(teacher()),
        },
        baseline="Self Forcing: ODE of the bidirectional teacher",
        teacher=teacher(),
        grids={k: even(k, SHIFT) for k in (2, 4, 8, 16)},
    ),
    prompts=prompts(test=128, validation=32),
    probes=(),
)
