"""How good is the teacher that ships with the package, and how much guidance does it need? 32 steps on 512 held-out prompts."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.flow import even
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
base = teacher()
arms = {f"guidance w={w:g}": replace(base, sampling=replace(base.sampling, guidance=w)) for w in (1.0, 1.5, 2.0, 3.0)}

STUDY = replace(
    benchmark("teacher_guidance", __doc__, arms=arms, baseline="guidance w=1", teacher=base, grids=GRIDS),
    prompts=prompts(test=512, validation=0),
    settings={"32 steps": even(32, SHIFT)},
    train_seeds=(0,),
)
