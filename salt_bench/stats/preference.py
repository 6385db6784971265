"""How often an arm is preferred to another by those who vote, ties counting half, and how sure that is.

Voters and prompts are samples both: the shares {0, ½, 1} of the votes are a crossed layout, voters × prompts, like the
differences of any judge over training seeds × prompts. The interval is made as that of `improvement`, but its floor is the
prompts' part of the error: a gallery has eight prompts, and the few degrees of three voters would stretch it over everything.
In simulations (1 to 10 voters, 8 prompts, taste and scene each up to the noise of a vote) it covers 97% to 100%; one over
prompts alone covers 77% to 100%. One voter speaks for one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from salt_bench.stats.crossed import Fit, completed, crossed, parts, stated
from salt_bench.stats.effects import detectable
from salt_bench.stats.improvement import FLOOR, bounded, doubt
from salt_bench.votes import Vote


class Preference(NamedTuple):
    """The share of `arm` against `baseline` with its 95% interval [low, high], the two-sided p of a half, what was counted, and
    the smallest distance from a half that so many voters and prompts find with 80% power."""

    arm: str
    baseline: str
    mean: float
    low: float
    high: float
    p: float
    detectable: float
    won: int
    tied: int
    lost: int
    voters: int
    prompts: int


def shares(votes: Sequence[Vote], arm: str, baseline: str) -> np.ndarray:
    """What `arm` has of every vote on the two: float (V, P) over sorted voters and prompts, NaN where there is none."""
    found = {(v.voter, v.prompt): v.share(arm) for v in votes if set(v.pair) == {arm, baseline} and v.share(arm) is not None}
    voters, prompts = (sorted({key[at] for key in found}) for at in (0, 1))
    return np.array([[found.get((voter, prompt), np.nan) for prompt in prompts] for voter in voters], dtype=float)


def fit(layout: np.ndarray) -> Fit:
    """The mean share of a layout (V, P), NaN where nobody voted, with its standard error and the degrees of that."""
    d, lost = completed(layout)
    if d.size == 1:
        return crossed(d)
    by_voter, by_prompt = parts(d, lost)
    return stated(d.mean((-2, -1)), by_voter, np.maximum(by_prompt, FLOOR / d.shape[-1] ** 2 - by_voter), d.shape)


def preference(votes: Sequence[Vote], arm: str, baseline: str) -> Preference | None:
    """None where nobody decided between the two."""
    layout = shares(votes, arm, baseline)
    if not layout.size:
        return None
    known = layout[~np.isnan(layout)]
    won, tied, lost = (int((known == share).sum()) for share in (1.0, 0.5, 0.0))
    found, (voters, prompts) = fit(layout), layout.shape
    mean, low, high = (float(x) for x in bounded(found, prompts))
    seen = detectable(float(found.standard_error), float(found.degrees))
    return Preference(arm, baseline, mean, low, high, doubt(found, prompts), seen, won, tied, lost, voters, prompts)
