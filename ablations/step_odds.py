"""How often should training roll out 8, 4 and 2 steps? The paper's .4 .4 .2 against others, sampled in 4 and 2."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.salt import mixed_steps, salted
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
ODDS = ((0.4, 0.4, 0.2), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.4, 0.4), (0, 0.5, 0.5))
base = salted(causal_forcing(), consistency=0, alignment=0)
arms = {f"8, 4, 2: {a:g} {b:g} {c:g}": replace(base, mixed=mixed_steps(((8, a), (4, b), (2, c)))) for a, b, c in ODDS}

STUDY = replace(
    benchmark("step_odds", __doc__, arms=arms, baseline="8, 4, 2: 0.4 0.4 0.2", teacher=teacher(), grids=GRIDS),
    prompts=prompts(test=128, validation=32),
    settings={"4 steps": GRIDS[4], "2 steps": GRIDS[2]},
    probes=(),
)
