"""What does a finished student make of another memory? One checkpoint under windows, sinks, places and noisy caches."""

from dataclasses import replace

from salt_bench.suites.shapes import benchmark, prompts
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
REGIMES = {
    "full": Full(),
    "window 4": Window(window=4),
    "window 4, 1 sink": Window(window=4, sink=1),
    "window 4, 1 sink, relative": Relative(window=4, sink=1),
    "window 2": Window(window=2),
    "full, noise .1": Full(context_noise=0.1),
    "full, noise .3": Full(context_noise=0.3),
    "window 4, noise .1": Window(window=4, context_noise=0.1),
}

STUDY = replace(
    benchmark(
        "cache_regimes",
        __doc__,
        arms={name: causal_forcing().remembering(cache) for name, cache in REGIMES.items()},
        baseline="full",
        teacher=teacher(),
        grids=GRIDS,
    ),
    settings={f"{k} steps": GRIDS[k] for k in (4, 2, 8)},
    prompts=prompts(test=128, validation=32),
    probes=(),
)
