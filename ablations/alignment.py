"""Does cache-conditioned alignment help few steps, and which distance? Relation, MMD or drift; 2→4 alone, or 4→8 too."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.salt import START, TAP, salted
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.gate import Gate
from salt_train.recipe import Recipe

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
base = salted(causal_forcing(), alignment=0)


def aligned(kind: str, points: tuple[int, ...] = (2, 4), weight: float = 0.1) -> Recipe:
    denser = tuple((GRIDS[k], GRIDS[2 * k]) for k in points)
    term = Gate(CacheAlignment(denser, weight, kind, tap=TAP, shift=SHIFT), points, START)
    return replace(base, objectives=(*base.objectives, term))


STUDY = replace(
    benchmark(
        "alignment",
        __doc__,
        arms={
            "none": base,
            "relation": aligned("relation"),
            "relation, 2→4 alone": aligned("relation", points=(2,)),
            "relation λ=1": aligned("relation", weight=1.0),
            "MMD": aligned("mmd"),
            "drift": aligned("drift"),
        },
        baseline="none",
        teacher=teacher(),
        grids=GRIDS,
    ),
    settings={"2 steps": GRIDS[2], "4 steps": GRIDS[4]},
    published=("A2",),
)
