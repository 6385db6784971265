"""Which form of self-consistency works? What carries the gradient, how intervals are weighted, which triplets, and λ."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.flow import even
from salt_train.methods.dmd import dmd
from salt_train.methods.sc_dmd import sc_dmd
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.self_consistency import DETACH

# What carries the gradient first, at λ 1 with everything else fixed, at 3 for the released mode and the one that works; then,
# in the released mode, each weighting at a λ that gives its term about the same size, and another rule for triplets.
swept = {(d, "displacement", "released", 1.0) for d in DETACH}
swept |= {(d, "displacement", "released", 3.0) for d in ("composed", "intermediate")}
weighted = {("composed", "released", "released", 5.0), ("composed", "velocity", "released", 0.3)}
ruled = {("composed", "displacement", "uniform", 1.0)}

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
