"""The mean of a training seeds × prompts layout, and how sure it is.

A difference between two arms varies with the training seed and with the prompt, and both are samples: of other runs of the
same recipe, and of other prompts. So the differences d[seed, prompt] are a crossed random-effects layout. With the mean
squares of a two-way analysis of variance over S training seeds and P prompts,

    standard error² = MS_seed / SP + max(MS_prompt − MS_residual, 0) / SP,

its degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946) over S − 1 and P − 1, and the interval is never
narrower than Student's t on the S seed means. `tests/proofs/test_coverage.py` shows what this covers, beside an interval
over prompts alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.975
"""Of each side of an interval: two of them make 95%."""


class Fit(NamedTuple):
    """A mean, its standard error and the degrees of freedom of that; floats, or arrays (…) over repetitions."""

    mean: np.ndarray
    standard_error: np.ndarray
    degrees: np.ndarray

    def half(self) -> np.ndarray:
        """Half the width of the 95% interval."""
        return special.stdtrit(self.degrees, CONFIDENCE) * self.standard_error


def crossed(d: np.ndarray, lost: int = 0) -> Fit:
    """The mean of `d` (…, S, P), complete, for random training seeds and random prompts; `lost` residual degrees are missing.

    One seed gives Student's t on the prompts, one prompt gives it on the seeds, and a single number says nothing: its
    standard error is infinite.
    """
    s, p = d.shape[-2:]
    mean = d.mean((-2, -1))
    if s == p == 1:
        return Fit(mean, np.full_like(mean, np.inf), np.ones_like(mean))
    return stated(mean, *parts(d, lost), (s, p))


def parts(d: np.ndarray, lost: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What the seeds and what the prompts of `d` (…, S, P) add to the squared standard error, as `stated` takes them."""
    s, p = d.shape[-2:]
    mean, seeds, prompts = d.mean((-2, -1)), d.mean(-1), d.mean(-2)
    rest = d - seeds[..., None] - prompts[..., None, :] + mean[..., None, None]
    residual = (rest**2).sum((-2, -1)) / max((s - 1) * (p - 1) - lost, 1)
    # MS_seed holds the residual already: on it rests the part with few degrees, so nothing is subtracted there.
    return _variance(seeds) / s, np.maximum(_variance(prompts) / p - residual / (s * p), 0.0)


def stated(mean: np.ndarray, by_seed: np.ndarray, by_prompt: np.ndarray, shape: tuple[int, int]) -> Fit:
    """The fit of a layout of `shape` (S, P) whose mean squares are known: what they make of the squared standard error, the
    seeds' part MS_seed / SP and the prompts' part max(MS_prompt − MS_residual, 0) / SP."""
    return Fit(mean, np.sqrt(by_seed + by_prompt), _degrees(by_seed, by_prompt, *shape))


def _variance(means: np.ndarray) -> np.ndarray:
    return means.var(-1, ddof=1) if means.shape[-1] > 1 else np.zeros(means.shape[:-1])


def _degrees(by_seed: np.ndarray, by_prompt: np.ndarray, s: int, p: int) -> np.ndarray:
    """Satterthwaite's, lowered where needed so that the interval is no narrower than t on the seed means.

    With three seeds the seed variance is by luck often seen far too small; Satterthwaite then trusts it with many degrees.
    """
    total = by_seed + by_prompt
    sure = np.where(total > 0, total, 1.0)
    share = by_seed / sure
    spread = share**2 / max(s - 1, 1) + (by_prompt / sure) ** 2 / max(p - 1, 1)
    plain = np.where(total > 0, 1 / np.where(total > 0, spread, 1.0), max(s - 1, 1))
    if s == 1:
        return plain
    needed = special.stdtrit(s - 1, CONFIDENCE) * np.sqrt(share)
    return np.where(needed > special.stdtrit(plain, CONFIDENCE), _degrees_at(needed), plain)


def _degrees_at(critical: np.ndarray) -> np.ndarray:
    """The degrees whose two-sided 5% point of t is `critical`; 1 where no t is so narrow, which the caller discards."""
    possible = critical > special.ndtri(CONFIDENCE) + 1e-9
    return special.stdtridf(CONFIDENCE, np.where(possible, critical, special.stdtrit(1, CONFIDENCE)))


def completed(d: np.ndarray) -> tuple[np.ndarray, int]:
    """`d` (S, P) with every missing pair (NaN) filled by seed + prompt effect (least squares), and the degrees that this costs.

    So each seed and each prompt keeps equal weight, whatever is missing (Yates, Empire J. Exp. Agric. 1, 1933).
    """
    seen = ~np.isnan(d)
    if seen.all():
        return d, 0
    known, count = np.where(seen, d, 0.0), seen.sum(0)
    prompt = known.sum(0) / count
    # Prompt effects eliminated, the normal equations are only S × S, and singular: one constant is free.
    weight = seen.astype(float)
    system = np.diag(weight.sum(1)) - (weight / count) @ weight.T
    seed, _, rank, _ = np.linalg.lstsq(system, (known - weight * prompt).sum(1), rcond=1e-10)
    prompt = prompt - (weight * seed[:, None]).sum(0) / count
    left = int(seen.sum()) - d.shape[1] - int(rank)
    return np.where(seen, d, seed[:, None] + prompt), (d.shape[0] - 1) * (d.shape[1] - 1) - left
