"""PASS, REGRESSION, INCONCLUSIVE, INCOMPARABLE or ERROR: what may be said of each gauge, and of all of them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from salt_bench.gate.gauge import Gauge
from salt_bench.gate.looks import nominal_levels
from salt_bench.gate.loss import LEAST, p_no_worse, p_worse
from salt_bench.stats.crossed import Fit

FALSE_ALARM = 0.05
"""The probability, over all gauges together, of a REGRESSION where no true loss is above its margin."""
FALSE_PASS = 0.025
"""The probability of a PASS where a true loss is at or above its margin: one side of a 95% interval."""
_POWER = 0.8
_MOST = 100_000  # prompts; where more would be needed, nobody will take them


class Verdict(StrEnum):
    """What the gate says."""

    PASS = "PASS"
    REGRESSION = "REGRESSION"
    INCONCLUSIVE = "INCONCLUSIVE"
    INCOMPARABLE = "INCOMPARABLE"
    ERROR = "ERROR"

    @property
    def code(self) -> int:
        """The exit code of the command."""
        return {"PASS": 0, "REGRESSION": 1, "INCONCLUSIVE": 3, "INCOMPARABLE": 4, "ERROR": 5}[self.value]


_GRAVEST = (Verdict.INCOMPARABLE, Verdict.REGRESSION, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASS)


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """PASS only where everything passes; one REGRESSION is one. ValueError for nothing at all: an empty gate is open."""
    if not verdicts:
        raise ValueError("nothing was gated")
    return min(verdicts, key=_GRAVEST.index)


@dataclass(frozen=True)
class Levels:
    """How small a p must be: of "at most one margin is lost" for a REGRESSION, of "at least one margin" for a PASS."""

    worse: float
    no_worse: float


def decide(fits: Sequence[Fit], prompts: Sequence[int]) -> list[Verdict]:
    """One look at everything. Holm's procedure keeps false alarms over all fits at FALSE_ALARM (Scand. J. Stat. 6, 1979).

    PASS needs no correction: all gauges must pass, and each does so at FALSE_PASS (Berger, Technometrics 24, 1982)."""
    worse = _holm([float(p_worse(fit)) if n >= LEAST else 1.0 for fit, n in zip(fits, prompts, strict=True)])
    levels = Levels(FALSE_ALARM, FALSE_PASS)
    return [_verdict(p, float(p_no_worse(fit)), n, levels) for p, fit, n in zip(worse, fits, prompts, strict=True)]


def _holm(p: Sequence[float]) -> list[float]:
    """Adjusted p, in the order given."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return np.minimum(stepped, 1.0)[np.argsort(order)].tolist()


def decide_early(fits: Sequence[Fit], prompts: Sequence[int], levels: Levels) -> list[Verdict]:
    """One look of several, at the levels of `plan`: Bonferroni over the gauges is in them."""
    ps = [(float(p_worse(fit)), float(p_no_worse(fit)), n) for fit, n in zip(fits, prompts, strict=True)]
    return [_verdict(*p, levels) for p in ps]


def _verdict(worse: float, no_worse: float, prompts: int, levels: Levels) -> Verdict:
    if prompts < LEAST:
        return Verdict.INCONCLUSIVE
    if worse < levels.worse:
        return Verdict.REGRESSION
    return Verdict.PASS if no_worse < levels.no_worse else Verdict.INCONCLUSIVE


def plan(looks: Sequence[int], gauges: int) -> list[Levels]:
    """The levels of each look, which are after so many prompts (rising) of the last, for so many gauges."""
    shares = [look / looks[-1] for look in looks]
    worse, no_worse = nominal_levels(FALSE_ALARM / gauges, shares), nominal_levels(FALSE_PASS, shares)
    return [Levels(*pair) for pair in zip(worse, no_worse, strict=True)]


def needed(fit: Fit, count: int, gauges: int, least: int = LEAST) -> int | None:
    """How many prompts, in place of `count`, would decide this in 4 of 5 cases, if the loss and the spread are what they seem;
    at least `least`. None for more than anybody takes (the loss is about one margin)."""
    distance = abs(1 - float(fit.mean))
    level = FALSE_PASS if fit.mean < 1 else FALSE_ALARM / gauges
    spread = float(fit.standard_error) * math.sqrt(count)
    if not math.isfinite(spread) or distance * math.sqrt(_MOST) <= spread:
        return None
    wanted = ((special.ndtri(1 - level) + special.ndtri(_POWER)) * spread / distance) ** 2
    return None if wanted > _MOST else max(math.ceil(wanted), least, count + 1)


@dataclass(frozen=True)
class Finding:
    """A gauge, its verdict and what that rests on. `loss` and its 95% interval [low, high] are in margins; `candidate` and
    `baseline` are means in the judge's unit. `needed` prompts (training seeds, where there are several) would decide what is
    INCONCLUSIVE; None: no number does."""

    gauge: Gauge
    verdict: Verdict
    prompts: int = 0
    train_seeds: int = 1
    loss: float = math.nan
    low: float = math.nan
    high: float = math.nan
    candidate: float = math.nan
    baseline: float = math.nan
    needed: int | None = None
    note: str = ""

    def change(self, loss: float) -> float:
        """`loss` as a change of the number: in the judge's unit, or as a share of the baseline where that is relative."""
        moved = 0.0 - self.gauge.output.better * loss * self.gauge.scale  # 0 - 0 is 0, -0 is "-0"
        return math.expm1(moved) if self.gauge.output.relative else moved


@dataclass(frozen=True)
class Report:
    """All that a check found. `reason` says why where there are no findings; `used` of `asked` prompts were looked at."""

    candidate: str
    baseline: str
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    used: int = 0
    asked: int = 0
    notes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The verdict and its reason in one line."""
        return f"{self.verdict}: {self.reason or _because(self)}"


def _because(report: Report) -> str:
    guilty = [finding for finding in report.findings if finding.verdict is report.verdict]
    names = ", ".join(finding.gauge.name for finding in guilty)
    if report.verdict is Verdict.PASS:
        return f"{report.candidate} is no worse than {report.baseline} by any of {len(guilty)} margins"
    if report.verdict is Verdict.REGRESSION:
        lost = max(finding.loss for finding in guilty)
        return f"{names}: {report.candidate} lost more than the margin, {lost:.1f} of them at most, against {report.baseline}"
    if report.verdict is Verdict.INCONCLUSIVE:
        return f"{names}: {_more(guilty, report.used)}"
    return "; ".join(f"{finding.gauge.name}: {finding.note}" for finding in guilty)


def _more(guilty: Sequence[Finding], used: int) -> str:
    counts = [finding.needed for finding in guilty if finding.needed is not None]
    seeds = max(finding.train_seeds for finding in guilty)
    there = f"{used} prompts" if seeds == 1 else f"{seeds} training seeds"
    if len(counts) < len(guilty):
        return f"{there} do not tell, and the loss is so near to the margin that {_MOST:,} would not either"
    return f"{there} do not tell, about {max(counts):,} would"
