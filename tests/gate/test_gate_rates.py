"""How often the gate is wrong, and how often it finds what is there: simulated, beside what theory says.

Seven judges, their paired differences four margins wide; a REGRESSION may be false in 5% of checks, over all judges together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats as reference

from salt_bench.gate.gauge import Gauge
from salt_bench.gate.looks import nominal_levels
from salt_bench.gate.loss import loss
from salt_bench.gate.verdict import Verdict, decide, decide_early, overall, plan
from salt_bench.stats.crossed import Fit
from salt_bench.types import Output

CHECKS, JUDGES, PROMPTS, WIDTH = 1000, 7, 128, 4.0
LOOKS = (32, 64, 96, 128)
GAUGE = Gauge("j", "x", Output("margins", +1, 1.0))
NOISE = 3 * np.sqrt(0.05 * 0.95 / CHECKS)  # three standard deviations of a simulated 5%


def draw(kind: str, losses: tuple[float, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Candidate and baseline, (checks, judges, 1, prompts): the candidate has lost losses[judge] margins."""
    rng = np.random.default_rng([seed, len(kind)])
    shape = (CHECKS, JUDGES, 1, PROMPTS)
    baseline = 2 * WIDTH * rng.normal(size=shape)
    if kind == "binary":  # rare pairs that differ by a lot, for the worse as often as the loss says
        d = np.where(rng.random(shape) < 0.1, 12.0, 0.0) * np.where(rng.random(shape) < 0.5, 1.0, -1.0)
    else:
        d = WIDTH * (rng.normal(size=shape) if kind == "gaussian" else rng.standard_t(3, size=shape) / np.sqrt(3))
    return baseline + d - np.asarray(losses)[None, :, None, None], baseline


def fits(candidate: np.ndarray, baseline: np.ndarray, prompts: int = PROMPTS) -> list[list[Fit]]:
    """[check][judge] after so many prompts."""
    found = loss(candidate[..., :prompts], baseline[..., :prompts], GAUGE)
    return [[Fit(*(part[check, judge] for part in found)) for judge in range(JUDGES)] for check in range(CHECKS)]


@dataclass(frozen=True)
class Rates:
    """The share of checks with each overall verdict, the share of PASS among judges, and the mean share of prompts used."""

    regression: float
    passed: float
    judges_passed: float
    used: float


def fixed(kind: str, losses: tuple[float, ...]) -> Rates:
    verdicts = [decide(row, [PROMPTS] * JUDGES) for row in fits(*draw(kind, losses))]
    return rates(verdicts, [1.0] * CHECKS)


def sequential(kind: str, losses: tuple[float, ...]) -> Rates:
    candidate, baseline = draw(kind, losses)
    levels = plan(LOOKS, JUDGES)
    found = [fits(candidate, baseline, look) for look in LOOKS]
    verdicts, used = [], []
    for check in range(CHECKS):
        for k, look in enumerate(LOOKS):
            now = decide_early(found[k][check], [look] * JUDGES, levels[k])
            if overall(now) is not Verdict.INCONCLUSIVE:
                break
        verdicts.append(now)
        used.append(look / PROMPTS)
    return rates(verdicts, used)


def rates(verdicts: list[list[Verdict]], used: list[float]) -> Rates:
    said = [overall(row) for row in verdicts]
    share = np.mean([[v is Verdict.PASS for v in row] for row in verdicts])
    return Rates(said.count(Verdict.REGRESSION) / CHECKS, said.count(Verdict.PASS) / CHECKS, float(share), float(np.mean(used)))


def one(lost: float) -> tuple[float, ...]:
    """One judge lost something, the others did not."""
    return (lost, *(0.0,) * (JUDGES - 1))


@pytest.mark.parametrize("kind", ["gaussian", "binary", "heavy"])
def test_false_alarms_are_rare_at_any_number_of_looks(kind: str) -> None:
    """Nothing changed; and the worst that is no regression yet, exactly one margin lost everywhere."""
    for way in (fixed, sequential):
        assert way(kind, one(0.0)).regression <= 0.01
        worst = way(kind, (1.0,) * JUDGES)
        assert worst.regression <= 0.05 + NOISE
        assert worst.judges_passed <= 0.025 + NOISE, "PASS is false where one margin is lost"
        assert worst.regression >= 0.01, "a gate that never rings is no gate"


def power(lost: float) -> float:
    """Of a t-test at Bonferroni's level, which is where Holm begins."""
    error = np.hypot(WIDTH / np.sqrt(PROMPTS), np.sqrt(2) * 2 * WIDTH / PROMPTS)
    critical = reference.t.ppf(1 - 0.05 / JUDGES, PROMPTS - 1)
    return float(reference.nct.sf(critical, PROMPTS - 1, (lost - 1) / error))


def test_power_for_one_two_and_three_margins(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["margins lost   REGRESSION (theory)   sequential, prompts used"]
    for lost in (0.0, 1.0, 2.0, 3.0):
        once, early = fixed("gaussian", one(lost)), sequential("gaussian", one(lost))
        lines.append(f"{lost:12.0f}   {once.regression:10.1%} ({power(lost):.1%})   {early.regression:10.1%}, {early.used:.0%}")
        assert once.regression == pytest.approx(power(lost), abs=0.05)
        assert early.regression >= once.regression - 0.1, "looking early costs little"
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert fixed("gaussian", one(3.0)).regression > 0.99
    assert early.used < 0.6, "three margins are seen long before the last prompt"
    assert fixed("gaussian", (-1.0,) * JUDGES).passed > 0.9, "whoever gained passes"


def test_looks_spend_the_level_exactly() -> None:
    rng = np.random.default_rng(3)
    for shares in ((1.0,), (0.25, 0.5, 0.75, 1.0), tuple(np.arange(1, 17) / 16), (0.1, 1.0)):
        levels = nominal_levels(0.05, list(shares))
        steps = np.sqrt(np.diff([0.0, *shares]))
        paths = (rng.normal(size=(100_000, len(shares))) * steps).cumsum(1) / np.sqrt(shares)
        assert (reference.norm.sf(paths) < levels).any(1).mean() == pytest.approx(0.05, abs=0.003)
        assert levels == sorted(levels)
    assert nominal_levels(0.05, [1.0]) == pytest.approx([0.05], rel=1e-3)
    with pytest.raises(ValueError, match="rise to 1"):
        nominal_levels(0.05, [0.5, 0.4, 1.0])
