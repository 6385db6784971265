"""Does cache-conditioned alignment help few steps, and which distance? Relation, MMD or drift; 2→4 alone, or 4→8 too."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.salt import aligned, salted
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.base import Objective
from salt_train.recipe import Recipe

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
base = salted(causal_forcing(), alignment=0)


def also(term: Objective) -> Recipe:
    return replace(base, objectives=(*base.objectives, term))


STUDY = replace(
    benchmark(
        "alignment",
        __doc__,
        arms={
            "none": base,
            "relation": also(aligned()),
            "relation, 2→4 alone": also(aligned(points=(2,))),
            "relation λ=1": also(aligned(1.0)),
            "MMD": also(aligned(kind="mmd")),
            "drift": also(aligned(kind="drift")),
        },
        baseline="none",
        teacher=teacher(),
        grids=GRIDS,
    ),
    prompts=prompts(test=128, validation=32),
    settings={"2 steps": GRIDS[2], "4 steps": GRIDS[4]},
    probes=(),
    published=("A2",),
)
