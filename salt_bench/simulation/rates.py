"""How often the gate is wrong, and how often it finds what is there: its own losses, levels and decisions, on known losses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from salt_bench.gate.gauge import Gauge
from salt_bench.gate.loss import loss
from salt_bench.gate.verdict import Levels, Verdict, decide, decide_early, overall, plan
from salt_bench.simulation.table import Rates
from salt_bench.stats.crossed import Fit
from salt_bench.types import Output

JUDGES, PROMPTS = 7, 128
"""As many judges as `check` gates of the embedded world."""
WIDTHS = (2.0, 4.0)
"""The paired differences' standard deviation, in margins: a precise judge and one that is not."""
LOOKS = (32, 64, 96, 128)
FIXED, SEQUENTIAL, SEEDS = "fixed", "sequential", "fixed, 3 training seeds"
MODES = (FIXED, SEQUENTIAL, SEEDS)
KINDS = ("normal", "binary", "heavy", "few lose much", "few gain much")
"""Of the losses: skewed ones on either side, each log-normal."""
SEED_SHARE = 0.1
"""Of three training seeds: the variance of the seed's effect, as a share of the residual's."""
LOSSES = ((0, 0.0), (JUDGES, 1.0), (1, 1.0), (1, 2.0), (1, 3.0))
"""How many judges lose how many margins: nothing changed; the worst that is no regression yet; one judge's loss."""
REPETITIONS = 2000
GAUGE = Gauge("judge", "part", Output("margins", +1, 1.0))
_STEP, _SWAPPED, _RIGHT = 3.0, 0.05, 0.8  # a right clip is worth so many widths


def measure(repetitions: int = REPETITIONS) -> Iterator[Rates]:
    """The rows of every kind, mode and loss; fixed and sequential see the same checks."""
    for i, kind in enumerate(KINDS):
        for width, (j, (losers, lost)) in product(WIDTHS, enumerate(LOSSES)):
            for seeds, modes in ((1, (FIXED, SEQUENTIAL)), (3, (SEEDS,))):
                losses = np.where(np.arange(JUDGES) < losers, lost, 0.0)
                rng = np.random.default_rng([i, j, seeds, round(width)])
                sides = draw(kind, width, losses, (repetitions, JUDGES, seeds, PROMPTS), rng)
                for mode in modes:
                    said = list(_verdicts(*sides, mode))
                    yield _row(Case(mode, kind, seeds, width, losers, lost), said)


def draw(
    kind: str, width: float, losses: np.ndarray, shape: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Candidate and baseline (checks, judges, S, P), in margins; the candidate truly lost losses[judge]."""
    lost = losses[:, None, None]
    if kind == "binary":
        return _binary(_STEP * width, lost, shape, rng)
    seeds = np.sqrt(SEED_SHARE) * width * rng.normal(size=(*shape[:3], 1)) if shape[2] > 1 else 0.0
    baseline = 2 * width * rng.normal(size=(*shape[:2], 1, shape[3])) + np.zeros(shape)
    return baseline - lost - seeds - width * _noise(kind, shape, rng), baseline


def _noise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """What a pair loses besides: mean 0, standard deviation 1."""
    if kind == "heavy":
        return rng.standard_t(3, size=shape) / np.sqrt(3)
    normal = rng.normal(size=shape)
    if kind == "normal":
        return normal
    skewed = (np.exp(normal) - np.exp(0.5)) / np.sqrt(np.exp(2) - np.exp(1))
    return skewed if kind == "few lose much" else -skewed


def _binary(step: float, lost: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Right (worth `step` margins) or wrong: _SWAPPED of the pairs change for the better, those and the loss for the worse."""
    right, chance = rng.random(shape) < _RIGHT, rng.random(shape)
    spoilt = chance < (_SWAPPED + lost / step) / _RIGHT
    mended = chance < _SWAPPED / (1 - _RIGHT)
    return step * np.where(right, ~spoilt, mended), step * right


@dataclass(frozen=True)
class Case:
    """What is asked of a gate; the names are those of `Rates`."""

    mode: str
    data: str
    seeds: int
    width: float
    losers: int
    lost: float


@dataclass(frozen=True)
class _Said:
    verdict: Verdict
    used: float


def _verdicts(candidate: np.ndarray, baseline: np.ndarray, mode: str) -> Iterator[_Said]:
    """Check by check, as `check._look` goes about it."""
    looks = LOOKS if mode == SEQUENTIAL else (PROMPTS,)
    levels = plan(looks, JUDGES)
    found = [loss(candidate[..., :look], baseline[..., :look], GAUGE) for look in looks]
    for check in range(len(candidate)):
        for fits, look, level in zip(found, looks, levels, strict=True):
            seen = [Fit(*(part[check, judge] for part in fits)) for judge in range(JUDGES)]
            verdict = overall(_decided(seen, look, level, mode))
            if verdict is not Verdict.INCONCLUSIVE:
                break
        yield _Said(verdict, look / PROMPTS)


def _decided(fits: Sequence[Fit], prompts: int, level: Levels, mode: str) -> list[Verdict]:
    counts = [prompts] * len(fits)
    return decide_early(fits, counts, level) if mode == SEQUENTIAL else decide(fits, counts)


def _row(case: Case, said: Sequence[_Said]) -> Rates:
    share = {v: float(np.mean([one.verdict is v for one in said])) for v in Verdict}
    return Rates(
        **asdict(case),
        prompts=PROMPTS,
        judges=JUDGES,
        regression=share[Verdict.REGRESSION],
        passed=share[Verdict.PASS],
        inconclusive=share[Verdict.INCONCLUSIVE],
        used=float(np.mean([one.used for one in said])),
        repetitions=len(said),
    )
