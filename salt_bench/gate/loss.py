"""How much a candidate lost, in margins: 1 is exactly the smallest loss that matters, below 0 is a gain.

The mean of the paired differences is a crossed layout of training seeds and prompts (`stats.crossed`). Two checkpoints that
are nearly the same differ on a few prompts or on none, and a handful of equal pairs would look like certainty. So the squared
standard error carries 2·s²/P² on top, s being the spread of the judge's own values over prompts (never below one margin): what
one pair more for the better and one for the worse would add, each as far apart as two prompts are (in the spirit of Agresti
and Min, Statistics in Medicine 24, 2005, who add such pairs to a table of matched shares).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from salt_bench.gate.gauge import Gauge
from salt_bench.stats.crossed import Fit
from salt_bench.stats.effects import fitted

LEAST = 16
"""With fewer prompts than this nothing is decided, whatever they say."""


def loss(candidate: np.ndarray, baseline: np.ndarray, gauge: Gauge) -> Fit:
    """The mean loss of `candidate` (…, S, P) beside `baseline`, in margins. A relative margin needs positive means; ValueError.

    NaN, on both sides alike, is a missing pair; only a plain (S, P) may have them."""
    better, scale = gauge.output.better, gauge.scale
    if not gauge.output.relative:
        fit = fitted(better * (baseline - candidate) / scale)
        return _with_spread(fit, np.maximum(_spread(candidate), _spread(baseline)) / scale, baseline.shape)
    x, y = (_mean(side) for side in (candidate, baseline))
    if not (np.all(x > 0) and np.all(y > 0)):
        raise ValueError(f"{gauge.name} has a mean that is not positive, so no share of it is a margin: give an absolute one")
    shares = candidate / x[..., None, None], baseline / y[..., None, None]
    fit = fitted(better * (shares[1] - shares[0]) / scale)._replace(mean=better * np.log(y / x) / scale)
    return _with_spread(fit, np.maximum(*map(_spread, shares)) / scale, baseline.shape)


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(values, (-2, -1)))


def _spread(values: np.ndarray) -> np.ndarray:
    """The standard deviation over prompts, (…, S, P) to (…)."""
    return np.asarray(np.nanmean(values, -2).std(-1, ddof=1 if values.shape[-1] > 1 else 0))


def _with_spread(fit: Fit, spread: np.ndarray, shape: tuple[int, ...]) -> Fit:
    seeds, prompts = shape[-2:]
    error = np.hypot(fit.standard_error, np.sqrt(2) * np.maximum(spread, 1.0) / prompts)
    degrees = np.full_like(fit.mean, max(prompts - 1, 1)) if seeds == 1 else fit.degrees
    return Fit(fit.mean, error, degrees)


def p_worse(fit: Fit) -> np.ndarray:
    """One-sided p of "the true loss is at most one margin": small where the candidate is worse."""
    return special.stdtr(fit.degrees, (1 - fit.mean) / fit.standard_error)


def p_no_worse(fit: Fit) -> np.ndarray:
    """One-sided p of "the true loss is at least one margin": small where the candidate is no worse."""
    return special.stdtr(fit.degrees, (fit.mean - 1) / fit.standard_error)
