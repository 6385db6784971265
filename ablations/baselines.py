"""Self Forcing, Causal Forcing and LongLive, each with and without Salt, in 4 and 2 steps: quality beside frames per second."""

from dataclasses import replace

from salt_bench.probes.throughput import Throughput
from salt_bench.suites.shapes import benchmark
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.longlive import longlive
from salt_train.methods.salt_causal_forcing import salt_causal_forcing
from salt_train.methods.salt_longlive import salt_longlive
from salt_train.methods.salt_self_forcing import salt_self_forcing
from salt_train.methods.self_forcing import self_forcing
from salt_train.methods.shapes import SHIFT
from salt_train.methods.teacher import teacher

GRIDS = {k: even(k, SHIFT) for k in (2, 4, 8, 16)}
study = benchmark(
    "baselines",
    __doc__,
    arms={
        "Self Forcing": self_forcing(),
        "Self Forcing + Salt": salt_self_forcing(),
        "Causal Forcing": causal_forcing(),
        "Causal Forcing + Salt": salt_causal_forcing(),
        "LongLive": longlive(),
        "LongLive + Salt": salt_longlive(),
    },
    baseline="Self Forcing",
    teacher=teacher(),
    grids=GRIDS,
)
STUDY = replace(
    study,
    settings={"4 steps": GRIDS[4], "2 steps": GRIDS[2]},
    probes=(*study.probes, Throughput((GRIDS[4], GRIDS[2]))),
    published=("T2",),
)
