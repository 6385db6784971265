"""Does a study of real networks survive being killed? Tiny ones, which train in seconds and draw nothing worth seeing."""

from __future__ import annotations

from dataclasses import replace

from salt_bench.judges.shapes import ShapesJudge
from salt_bench.judges.sharpness import Sharpness
from salt_bench.probes.cross_step import CrossStep
from salt_bench.probes.semigroup_defect import SemigroupDefect
from salt_bench.samplers.truth import Truth
from salt_bench.setjudges.frechet import Frechet
from salt_bench.types import Study
from salt_bench.worlds.shapes import ShapesWorld
from salt_train.backbones.wan import WanSpec
from salt_train.codecs.pca import PCACodec
from salt_train.flow import even
from salt_train.objectives.dmd import DMD
from salt_train.objectives.flow_matching import FlowMatching
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Optimiser, Recipe, Sampling

WORLD = ShapesWorld()
GRIDS = {k: even(k, 3.0) for k in (2, 4, 8)}
FAST = Optimiser(rate=1e-3, betas=(0.0, 0.99))

teacher = Recipe(
    world=WORLD,
    codec=PCACodec(WORLD, channels=6, clips=32),
    backbone=WanSpec(width=16, heads=2, layers=1, hidden=16),
    objectives=(FlowMatching(),),
    sampling=Sampling(GRIDS[8], guidance=2.0),
    steps=50,  # a resume file every 20: two before the end
    batch=4,
    optimiser=Optimiser(rate=3e-3, muon=True, warmup=5, decay=0.4),
)
dmd = replace(
    teacher,
    objectives=(DMD(guidance=2.0, shift=3.0),),
    sampling=Sampling(GRIDS[4]),
    batch=2,
    optimiser=FAST,
    teacher=teacher,
    grid=GRIDS[8],
    critic_updates=2,
    critic=FAST,
)
STUDY = Study(
    name="sc_dmd",
    question=__doc__,
    arms={"DMD": dmd, "SC-DMD": replace(dmd, objectives=(*dmd.objectives, SelfConsistency(1.0, detach="intermediate")))},
    anchors={"truth": Truth(WORLD), "teacher": teacher},
    baseline="DMD",
    prompts=(*WORLD.prompts("validation")[:2], *WORLD.prompts("test")[:4]),
    settings={"4 steps": GRIDS[4]},
    judges=(ShapesJudge(), Sharpness()),
    setjudges=(Frechet(),),
    probes=(SemigroupDefect(GRIDS[4], GRIDS[8]), CrossStep((GRIDS[2], GRIDS[4]))),
    train_seeds=(0,),
)
