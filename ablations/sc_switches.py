"""Which form of self-consistency works? What carries the gradient, how intervals are weighted, which triplets, and λ."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.flow import even
from salt_train.methods.dmd import dmd
from salt_train.methods.sc_dmd import sc_dmd
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.self_consistency import DETACH

# λ per detach mode with everything else fixed; then, for the released mode and the one that works, each weighting at a λ that
# gives its term about the same size, and each other rule for triplets.
BOTH = ("composed", "intermediate")
SIZED = (("released", 5.0), ("constant", 1.0), ("velocity", 0.3))
swept = {(d, "displacement", "released", w) for d in DETACH for w in (1.0, 3.0)}
weighted = {(d, k, "released", w) for d in BOTH for k, w in SIZED}
ruled = {(d, "displacement", rule, 1.0) for d in BOTH for rule in ("nearest", "uniform")}

STEPS = 40  # enough to tell forms apart: the defect falls from the first updates on
forms = {
    f"{d}, {k}, {rule} triplets λ={w:g}": replace(sc_dmd(w, k, d, rule), steps=STEPS)
    for d, k, rule, w in sorted(swept | weighted | ruled)
}
STUDY = replace(
    benchmark(
        "sc_switches",
        __doc__,
        arms={"DMD-8": dmd(8, steps=STEPS), **forms},
        baseline="DMD-8",
        teacher=teacher(),
        grids={k: even(k, SHIFT) for k in (2, 4, 8, 16)},
    ),
    prompts=prompts(test=96, validation=32),
    published=("A3",),
)
