"""What keeps a video true for ten times the training length? Drift per second under full caches, windows, sinks and places."""

from salt_bench.suites.shapes import long_benchmark
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.longlive import longlive
from salt_train.methods.shapes import SHIFT

LATENT = 60  # ten times the 6 latent frames of training
short, tuned = causal_forcing(), longlive()
# Without sinks, relative places change nothing: a rotary embedding sees differences of places alone.
POLICIES = {
    "full": Full(),
    "window 6": Window(window=6),
    "window 6, 2 sinks": Window(window=6, sink=2),
    "window 6, 2 sinks, relative": Relative(window=6, sink=2),
}

STUDY = long_benchmark(
    "long_rollout",
    __doc__,
    arms={f"Causal Forcing, {name}": short.remembering(cache, LATENT) for name, cache in POLICIES.items()}
    | {"LongLive, window 6, 2 sinks": tuned.remembering(Window(window=6, sink=2), LATENT)},
    baseline="Causal Forcing, full",
    grids={k: even(k, SHIFT) for k in (2, 4, 8, 16)},
    frames=2 * LATENT,
)
