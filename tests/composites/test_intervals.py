"""Intervals over prompts: by hand where that is possible, by simulation where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from vbench_results import VIDEOCRAFTER, rows

from salt_bench.composites import intervals
from salt_bench.composites.intervals import Estimate, influence, spread, suites
from salt_bench.composites.rows import Aggregate, Row, Sums, of_record, sums
from salt_bench.composites.summary import Measured, difference, summarise
from salt_bench.composites.vbench_total import SCHEME

SLOPES = {"one": 2.0, "two": -0.5}
"""What some composite makes of two dimensions."""


def of(values: dict[tuple[str, str], list[float]], weight: float = 1.0) -> Sums:
    """(dimension, prompt) → its videos' values."""
    made = [Row(p, i, d, x, weight) for (d, p), many in values.items() for i, x in enumerate(many)]
    return sums(made, Aggregate.one_process)


def test_one_dimension_is_students_t_on_prompt_means() -> None:
    means = (0.2, 0.4, 0.5, 0.9)
    found = intervals.estimate(0.5, {"one": 1.0}, of({("one", p): [x, x] for p, x in zip("abcd", means, strict=True)}))
    error = stats.sem(means)
    assert found.standard_error == pytest.approx(error)
    assert found.degrees == pytest.approx(3)
    assert found.interval == pytest.approx(stats.t.interval(0.95, 3, loc=0.5, scale=error))
    assert found.prompts == 4


def test_dimensions_of_one_suite_are_correlated_and_suites_are_not() -> None:
    x, y = np.array([0.2, 0.4, 0.5, 0.9]), np.array([0.1, 0.3, 0.3, 0.8])
    first = {("one", p): [a] for p, a in zip("abcd", x, strict=True)}
    shared, apart = (of(first | {("two", p): [b] for p, b in zip(ps, y, strict=True)}) for ps in ("abcd", "efgh"))
    together, separate = (intervals.estimate(0.0, SLOPES, each) for each in (shared, apart))
    assert together.standard_error == pytest.approx(stats.sem(2 * x - 0.5 * y))
    assert separate.standard_error == pytest.approx(np.hypot(2 * stats.sem(x), 0.5 * stats.sem(y)))
    assert (together.prompts, separate.prompts) == (4, 8)
    assert together.degrees == pytest.approx(3)
    assert 3 < separate.degrees < 6


def test_suites_are_what_shares_prompts_through_others() -> None:
    asked = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]], dtype=bool)
    label = suites(asked)
    assert len(set(label[:4])) == 1
    assert label[4] not in label[:4]
    assert label[5] == -1


def test_influences_sum_to_nothing_and_point_the_right_way() -> None:
    adds = influence(of({("one", "a"): [0.1], ("one", "b"): [0.3, 0.5]}))
    assert adds.sum() == pytest.approx(0.0)
    assert adds[0].tolist() == pytest.approx([(0.1 - 0.3) / 3, (0.8 - 0.6) / 3])


def test_a_single_prompt_says_nothing_of_others() -> None:
    found = intervals.estimate(0.5, {"one": 1.0}, of({("one", "a"): [0.4, 0.6]}))
    assert found.interval is None
    assert found.detectable is None


def test_the_detectable_difference_is_found_four_times_in_five() -> None:
    one = Estimate(0.0, 0.01, 400.0, 401)
    assert one.detectable == pytest.approx(0.01 * (1.96 + 0.8416), rel=0.01)
    assert one.detectable_unpaired == pytest.approx(2**0.5 * 0.01 * (1.96 + 0.8416), rel=0.01)
    draws = np.random.default_rng(0).normal(0.5, 1.0, (4000, 12))
    error = 1 / 12**0.5
    smallest = Estimate(0.0, error, 11.0, 12).detectable
    found = stats.ttest_1samp(draws - 0.5 + smallest, 0.0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)


@pytest.fixture(scope="module")
def model() -> Measured:
    return Measured(tuple(map(of_record, rows(seed=1))))


def test_a_pair_is_surer_than_two_models_apart(model: Measured) -> None:
    """The other model is better by 0.01 in subject consistency on every video; prompts are hard or easy for both."""
    hard = {f"{r.dimension} {r.prompt}": 0.1 * float(np.sin(i)) for i, r in enumerate(model.rows)}
    one = replace(model, rows=tuple(replace(r, value=(r.value or 0) + hard[f"{r.dimension} {r.prompt}"]) for r in model.rows))
    better = tuple(replace(r, value=(r.value or 0) + 0.01 * (r.dimension == "subject_consistency")) for r in one.rows)
    first, second = (summarise(SCHEME, Measured(each)) for each in (better, one.rows))
    found = difference(first, second, "total")
    assert found is not None
    assert found.value == pytest.approx(0.01 * SCHEME.slopes("total")["subject_consistency"])
    assert found.standard_error < 1e-9, "the same difference everywhere is certain"
    opposite = difference(second, first, "total")
    assert opposite is not None
    assert opposite.value == -found.value


def test_without_shared_prompts_variances_add(model: Measured) -> None:
    other = tuple(replace(r, prompt=f"another {r.prompt}") for r in model.rows)
    first, second = summarise(SCHEME, model), summarise(SCHEME, Measured(other))
    found, alone = difference(first, second, "total"), first.estimate("total")
    assert found is not None
    assert alone is not None
    assert found.standard_error == pytest.approx(2**0.5 * alone.standard_error, rel=0.01)
    assert found.prompts == 2 * alone.prompts


def simulated(repetitions: int, step: int, seed: int) -> Sums:
    """Full-size or thinned suites of a model whose true scores are VIDEOCRAFTER's: prompts are easy or hard for all dimensions
    that share them, five videos vary less; half of the dimensions say yes or no; of color, videos are left out at random."""
    draws, groups = np.random.default_rng(seed), {"subject": 72, "scene": 86, "overall": 93, **{f"g{i}": 84 for i in range(8)}}
    names = list(VIDEOCRAFTER)
    suite = dict(zip(names, ("subject", "scene", "g0", "subject", "subject", "overall", "overall"), strict=False))
    suite |= {name: f"g{i}" for i, name in enumerate(names[7:12], 1)} | {"scene": "scene"}
    suite |= {"appearance_style": "g6", "temporal_style": "g7", "overall_consistency": "overall"}
    width = {group: -(-n // step) for group, n in groups.items()}
    start = dict(zip(width, np.cumsum([0, *width.values()]), strict=False))
    easy = draws.normal(size=(repetitions, sum(width.values())))
    whole, total = np.zeros((2, repetitions, len(names), easy.shape[1]))
    for d, name in enumerate(names):
        part = slice(start[suite[name]], start[suite[name]] + width[suite[name]])
        shape = (repetitions, width[suite[name]], 5)
        skill = 0.7 * easy[:, part, None] + 0.5 * draws.normal(size=shape[:2])[..., None] + 0.5 * draws.normal(size=shape)
        true = VIDEOCRAFTER[name]
        yes = d % 2 == 0
        score = (skill > -np.sqrt(0.99) * stats.norm.ppf(true)) if yes else true + 0.05 * skill
        weight = draws.random(shape) < 0.8 if name == "color" else np.ones(shape)
        whole[:, d, part], total[:, d, part] = weight.sum(-1), (weight * score).sum(-1)
    return Sums(tuple(names), tuple(map(str, range(easy.shape[1]))), whole, total)


@pytest.mark.parametrize(("step", "repetitions"), [(1, 500), (6, 1000)])
def test_95_percent_intervals_of_total_hold_the_truth(step: int, repetitions: int) -> None:
    found = simulated(repetitions, step, seed=step)
    slopes = np.array([SCHEME.slopes("total")[name] for name in found.dimensions])
    truth = slopes @ np.array(list(VIDEOCRAFTER.values()))
    adds = np.einsum("d,rdp->rp", slopes, influence(found))
    layout = (found.weight > 0).any(0)
    variance, degrees = spread(adds, suites(layout))
    off = np.abs(found.mean() @ slopes - truth)
    held = float((off < stats.t.ppf(0.975, degrees) * np.sqrt(variance)).mean())
    assert 0.93 <= held <= 0.97
    # As if every dimension had prompts of its own: what they share is overlooked, and the truth is missed too often.
    alone = sum(spread(slope * influence(found)[:, d], suites(layout[[d]]))[0] for d, slope in enumerate(slopes))
    naive = float((off < 1.96 * np.sqrt(alone)).mean())
    print(f"every {step} prompt: {held:.1%}, as if dimensions shared no prompts {naive:.1%}")
    assert naive < held - 0.02
