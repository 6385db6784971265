"""The simulation in small: what it draws is what it says, its numbers are those of theory, its page is its table's."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as reference

from salt_bench.simulation import coverage, page, rates, table, totals
from salt_bench.simulation.judges import GAIN, KINDS, Layout, draw, truth
from salt_bench.simulation.table import Coverage, Rates

COMMITTED = Path(__file__).parents[2] / "reports" / "statistics"
REPETITIONS = 400


def close(rate: float, truth: float, repetitions: int) -> bool:
    """Within four Monte-Carlo errors."""
    return abs(rate - truth) <= 4 * sqrt(max(truth * (1 - truth), 0.01) / repetitions)


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_what_many_draws_show(kind: str) -> None:
    layout = Layout(2, 3, 0.5)
    drawn, true = draw(kind, layout, 60_000, np.random.default_rng(0)), truth(kind, layout)
    bound = 5 * max(side.std() for side in (drawn.arm, drawn.baseline)) / sqrt(60_000)
    assert drawn.baseline.mean() == pytest.approx(true.mean, abs=bound)
    assert (drawn.arm - drawn.baseline).mean() == pytest.approx(true.difference, abs=bound)
    assert np.log(drawn.arm.mean() / drawn.baseline.mean()) == pytest.approx(true.log_ratio, abs=2 * bound / true.mean)
    won = (1 + np.sign(drawn.arm - drawn.baseline)) / 2
    assert won.mean() == pytest.approx(true.improvement, abs=0.01)
    assert true.difference > 0
    assert 0.5 < true.improvement < 1


def test_seed_variance_is_that_of_the_difference() -> None:
    drawn = draw("normal", Layout(1, 1, 4.0), 40_000, np.random.default_rng(1))
    d = drawn.arm - drawn.baseline
    assert d.var() == pytest.approx(4.0 + 0.3 + 1.0, rel=0.05)
    assert d.mean() == pytest.approx(GAIN, abs=0.05)


def test_intervals_of_normal_judges_cover_and_prompts_alone_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "DESIGNS", ((1, 32), (3, 32)))
    rows = {(r.interval, r.data, r.seeds, r.variance): r for r in coverage.measure(REPETITIONS)}
    for variance in coverage.VARIANCES:
        assert close(rows[coverage.DIFFERENCE, "normal", 3, variance].coverage, 0.955, REPETITIONS)
    assert close(rows[coverage.MEAN, "normal", 1, 0.0].coverage, 0.95, REPETITIONS)
    assert rows[coverage.PROMPTS_ONLY, "normal", 3, 1.0].coverage < 0.6
    assert rows[coverage.MEAN, "skewed", 1, 0.0].above > 0.05, "what is missed of a skewed mean lies above"
    # One seed: Student's t on 32 prompts, over the normal interval that knows its error.
    assert rows[coverage.DIFFERENCE, "normal", 1, 0.0].width == pytest.approx(reference.t.ppf(0.975, 31) / 1.96, rel=0.12)
    assert len(rows) == len(KINDS) * (4 + 3 * 5)
    assert all(0 <= r.coverage + r.above <= 1 for r in rows.values())


def test_total_of_a_simulated_suite_covers() -> None:
    one, both = islice(totals.measure(200), 2)
    assert (one.interval, both.interval) == (totals.TOTAL, totals.TOTALS)
    assert (
        one.prompts
        == both.prompts
        == sum(n for name, n in totals.PROMPTS.items() if name not in ("motion_smoothness", "dynamic_degree"))
    )
    assert close(one.coverage, 0.95, 200)
    assert close(both.coverage, 0.95, 200)
    assert one.width == pytest.approx(1.0, abs=0.15)


@pytest.fixture(scope="module")
def gated() -> dict[tuple[str, float, int, float], Rates]:
    """Of normal judges."""
    count = len(rates.WIDTHS) * len(rates.LOSSES) * len(rates.MODES)
    return {(r.mode, r.width, r.losers, r.lost): r for r in islice(rates.measure(200), count)}


def theory(width: float, lost: float) -> float:
    """The power of a t-test at Bonferroni's level, which is where Holm begins."""
    n = rates.PROMPTS
    error = np.hypot(width / sqrt(n), sqrt(2) * 2.2 * width / n)
    return float(reference.nct.sf(reference.t.ppf(1 - 0.05 / rates.JUDGES, n - 1), n - 1, (lost - 1) / error))


def test_the_gate_finds_what_theory_says(gated: dict[tuple[str, float, int, float], Rates]) -> None:
    assert all(close(gated[rates.FIXED, w, 1, x].regression, theory(w, x), 100) for w in rates.WIDTHS for x in (1.0, 2.0, 3.0))
    assert all(row.regression <= 0.05 for row in gated.values() if row.losers == 0)
    assert all(close(row.regression + row.passed + row.inconclusive, 1.0, 10**9) for row in gated.values())
    early, once = (gated[mode, 2.0, 1, 3.0] for mode in (rates.SEQUENTIAL, rates.FIXED))
    assert early.used < 0.5 < once.used == 1.0
    assert early.regression > 0.95


@pytest.mark.parametrize("kind", rates.KINDS)
def test_losses_are_what_they_are_called(kind: str) -> None:
    losses = np.array([0.0, 2.0])
    candidate, baseline = rates.draw(kind, 4.0, losses, (400, 2, 1, 64), np.random.default_rng(2))
    lost = (baseline - candidate).mean((0, 2, 3))
    assert lost == pytest.approx(losses, abs=0.15)
    skew = reference.skew((baseline - candidate)[:, 0].ravel())
    assert {"few lose much": skew > 2, "few gain much": skew < -2}.get(kind, abs(skew) < 2 or kind == "heavy")


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        Coverage("i", "normal", 3, 16, 0.1, 0.95, 0.03, 1.2, 10),
        Rates("fixed", "normal", 1, 128, 4.0, 7, 1, 2.0, 0.5, 0.25, 0.25, 1.0, 10),
    ]
    table.write(tmp_path, rows)
    assert table.read(tmp_path) == rows


def test_the_committed_page_is_that_of_the_committed_table(tmp_path: Path) -> None:
    table.write(tmp_path, table.read(COMMITTED))
    assert (tmp_path / table.FILE).read_bytes() == (COMMITTED / table.FILE).read_bytes()
    for made in page.render(tmp_path):
        assert made.read_bytes() == (COMMITTED / made.name).read_bytes(), f"render {COMMITTED} again"


def test_bad_numbers_are_marked(tmp_path: Path) -> None:
    rows = table.read(COMMITTED)
    made = page.page(rows)
    texts = {cell.text: cell for one in made.tables for row in one.rows for cell in row}
    assert all(cell.mark == "bad" for text, cell in texts.items() if "▾" in text)
    first = next(row for row in rows if isinstance(row, Coverage))
    worse = page.page([replace(first, coverage=0.5), *rows[1:]])
    assert "50.0% ▾" in {cell.text for cell in worse.tables[0].rows[0]}
    assert "50.0%" in worse.points[0]


def test_what_is_promised_holds_in_the_committed_table() -> None:
    rows = table.read(COMMITTED)
    covered = [r for r in rows if isinstance(r, Coverage)]
    assert min(r.coverage for r in covered if r.interval == coverage.DIFFERENCE and r.prompts >= 64) >= 0.93
    assert min(r.coverage for r in covered if r.interval == coverage.BETTER) >= 0.93
    assert max(r.regression for r in rows if isinstance(r, Rates) and r.losers == 0) <= 0.05
    assert {r.repetitions for r in rows} == {coverage.REPETITIONS, totals.REPETITIONS, rates.REPETITIONS}
