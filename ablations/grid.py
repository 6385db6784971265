"""Is a finer training grid worth it, and does self-consistency repair what it costs? The paper's tables A1, A3, A4 and A5."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark
from salt_train.flow import even, grid
from salt_train.methods.dmd import dmd
from salt_train.methods.sc_dmd import sc_dmd
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher
from salt_train.objectives.self_consistency import SelfConsistency

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}

# The naive shortcut: DMD on the 4-grid, consistency on points that this grid does not know (8 points without the shift).
mismatched = SelfConsistency(1.0, weighting="displacement", detach="composed", own_grid=grid([1000 - 125 * i for i in range(8)], 1.0))

STUDY = replace(
    benchmark(
        "grid",
        __doc__,
        arms={
            "DMD-8": dmd(8),
            "DMD-4": dmd(4),
            "DMD-16": dmd(16),
            "SC-DMD": sc_dmd(1, weighting="displacement", detach="intermediate"),
            "SC-DMD released": sc_dmd(),
            "DMD-4 + mismatched SC": replace(dmd(4), objectives=(*dmd(4).objectives, mismatched)),
        },
        baseline="DMD-8",
        teacher=teacher(),
        grids=GRIDS,
    ),
    settings={"4 steps": GRIDS[4], "2 steps": GRIDS[2], "8 steps": GRIDS[8], "16 steps": GRIDS[16]},
    published=("A1", "A3"),
)
