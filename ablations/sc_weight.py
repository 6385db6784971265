"""How much self-consistency is right? λ from 0 to 10 on the 8-grid, sampled in 4 steps; the released form beside it."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark
from salt_bench.types import Claim
from salt_train.flow import even
from salt_train.methods.dmd import dmd
from salt_train.methods.sc_dmd import sc_dmd
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

WEIGHTS = (0.1, 0.3, 1, 3, 10)
RELEASED = (0.2, 1, 5)

swept = {f"SC λ={w:g}": sc_dmd(w, weighting="displacement", detach="intermediate") for w in WEIGHTS}
released = {f"released SC λ={w:g}": sc_dmd(w) for w in RELEASED}

STUDY = replace(
    benchmark(
        "sc_weight",
        __doc__,
        arms={"DMD-8": dmd(8), "DMD-4": dmd(4), **swept, **released},
        baseline="DMD-8",
        teacher=teacher(),
        grids={k: even(k, SHIFT) for k in (2, 4, 8, 16)},
    ),
    claim=Claim(
        candidates=tuple(swept),
        baseline="DMD-8",
        setting="4 steps",
        lower=(("semigroup_defect", "defect"), ("cross_step", "latent mean")),
        no_worse=(("shapes", "accuracy"), ("frechet", "distance"), ("sharpness", "score")),
    ),
    published=("A1", "A3"),
)
