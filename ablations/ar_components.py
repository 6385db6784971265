"""Which part of Salt's autoregressive recipe does what? Consistency, mixed steps, alignment: the paper's table A2."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark
from salt_bench.types import Expectation
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.salt import salted
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
base = causal_forcing()
ACCURACY, DISTANCE = ("shapes", "accuracy"), ("frechet", "distance")
EXPECTATIONS = (
    Expectation("+mixed", "base", "2 steps", *ACCURACY, +1, "mixed steps make 2 steps work (Salt, A2)"),
    Expectation("+mixed", "base", "2 steps", *DISTANCE, -1, "mixed steps make 2 steps work (Salt, A2)"),
    Expectation("+SC", "base", "4 steps", *ACCURACY, -1, "SC alone lowers Total, 84.62 → 83.83 (Salt, A2, secondary)"),
    Expectation("+mixed +SC", "base", "4 steps", *ACCURACY, +1, "with mixed steps 84.62 → 85.02 (Salt, A2, secondary)"),
    Expectation(
        "+mixed +SC +align", "+mixed +SC", "2 steps", *ACCURACY, +1, "alignment: Semantic 80.65 → 81.49 (Salt, A2, secondary)"
    ),
)

STUDY = replace(
    benchmark(
        "ar_components",
        __doc__,
        arms={
            "base": base,
            "+SC": salted(base, mixed=False, alignment=0),
            "+mixed": salted(base, consistency=0, alignment=0),
            "+mixed +SC": salted(base, alignment=0),
            "+mixed +SC +align": salted(base),
        },
        baseline="base",
        teacher=teacher(),
        grids=GRIDS,
    ),
    settings={"4 steps": GRIDS[4], "2 steps": GRIDS[2]},
    published=("A2",),
    expectations=EXPECTATIONS,
)
