"""How soon does a new caption show? Sinks that stay or are replayed, the public re-cache that sees both ways, a full cache."""

from dataclasses import replace

from salt_bench.suites.shapes import switch_benchmark
from salt_train.caches.full import Full
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.longlive import longlive
from salt_train.methods.shapes import SHIFT
from salt_train.setups.shapes import SETUP

LATENT = 18  # 36 frames, of which the first 12 have the first caption
WINDOW = SETUP.window
POLICIES = {
    "sinks stay": WINDOW,
    "sinks replayed": replace(WINDOW, replay_sinks=True),
    "sinks replayed, re-cache both ways": replace(WINDOW, replay_sinks=True, recache_whole=True),
}
arms = {f"LongLive, {name}": longlive().remembering(cache, LATENT) for name, cache in POLICIES.items()}
full = {
    "Causal Forcing, full cache": causal_forcing().remembering(Full(), LATENT),
    "Causal Forcing, full cache, re-cache both ways": causal_forcing().remembering(Full(recache_whole=True), LATENT),
}

STUDY = switch_benchmark(
    "prompt_switch",
    __doc__,
    arms=arms | full,
    baseline="LongLive, sinks replayed",
    grids={k: even(k, SHIFT) for k in (2, 4, 8, 16)},
)
