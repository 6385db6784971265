"""Which part of Salt's autoregressive recipe does what? Consistency, mixed steps, alignment: the paper's table A2."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.salt import salted
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
base = causal_forcing()

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
)
