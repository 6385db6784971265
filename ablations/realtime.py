"""What sets the speed of a causal model: its size, its memory, or its steps? Untrained models: weights do not change it."""

from dataclasses import replace

from salt_bench.probes.realtime import RealTime
from salt_bench.samplers.truth import Truth
from salt_bench.suites.shapes import rollouts
from salt_bench.types import Study
from salt_bench.worlds.shapes import ShapesWorld
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.self_forcing import self_forcing
from salt_train.methods.shapes import CAUSAL, CODEC, SHIFT
from salt_train.recipe import Recipe

LENGTH = 48  # latent frames, eight times the training length: long enough for a memory to matter
FRAMES = LENGTH * CODEC.time


def model(width: int, cache: CachePolicy) -> Recipe:
    """Two updates from its first weights."""
    sizes = replace(CAUSAL, width=width, hidden=3 * width)
    recipe = replace(causal_forcing("ar"), backbone=sizes, steps=2, sampling=self_forcing().sampling)
    return recipe.remembering(cache, LENGTH)


WINDOW = Window(window=6, sink=2)
STUDY = Study(
    "realtime",
    __doc__,
    arms={
        "width 128, window": model(128, WINDOW),
        "width 128, relative window": model(128, Relative(window=6, sink=2)),
        "width 128, everything": model(128, Full()),
        "width 64, window": model(64, WINDOW),
        "width 256, window": model(256, WINDOW),
    },
    anchors={"truth": Truth(ShapesWorld(), FRAMES, chunk=2)},
    baseline="width 128, window",
    prompts=rollouts(test=4, validation=0),
    settings={"4 steps": even(4, SHIFT)},
    probes=(RealTime(tuple(even(k, SHIFT) for k in (4, 2, 1)), most=4),),
    train_seeds=(0,),
)
