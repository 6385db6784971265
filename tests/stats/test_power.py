"""Planned power against whole studies that are drawn and tested."""

from __future__ import annotations

import math

import numpy as np
import pytest

from salt_bench.stats import effects
from salt_bench.stats.components import Components
from salt_bench.stats.crossed import crossed
from salt_bench.stats.power import Design, detectable, needed, power, spread

REPETITIONS = 4000


def found(effect: float, design: Design, truth: Components) -> float:
    """How often `crossed` finds `effect` in simulated studies."""
    rng, known, (s, p, k) = np.random.default_rng(5), truth.known(), (design.seeds, design.prompts, design.samples)
    seed = math.sqrt(known["seed"]) * rng.normal(size=(REPETITIONS, s, 1)) if s > 1 else 0.0
    prompt = math.sqrt(known["prompt"]) * rng.normal(size=(REPETITIONS, 1, p))
    rest = math.sqrt(known["seed_prompt"]) * rng.normal(size=(REPETITIONS, s, p))
    if "sample" in known:
        prompt = prompt + math.sqrt(known["sample"] / k) * rng.normal(size=(REPETITIONS, 1, p))
        rest = rest + math.sqrt(known["noise"] / k) * rng.normal(size=(REPETITIONS, s, p))
    fit = crossed(effect + seed + prompt + rest)
    return float((np.abs(fit.mean) > fit.half()).mean())


@pytest.mark.parametrize("design", [Design(1, 64), Design(2, 32), Design(3, 64), Design(3, 256), Design(8, 16)], ids=str)
@pytest.mark.parametrize("seed", [0.0, 0.1, 1.0])
def test_what_is_called_detectable_is_found_in_80_percent_of_studies(design: Design, seed: float) -> None:
    truth = Components(seed=seed, prompt=0.3, seed_prompt=1.0)
    smallest = detectable(design, truth)
    assert power(smallest, design, truth) == pytest.approx(0.8, abs=0.002)
    assert found(smallest, design, truth) == pytest.approx(0.8, abs=0.025)
    assert found(0.6 * smallest, design, truth) == pytest.approx(power(0.6 * smallest, design, truth), abs=0.025)


def test_samples_count_where_they_are_known() -> None:
    truth = Components(seed=0.05, prompt=0.1, seed_prompt=0.2, sample=0.5, noise=1.0)
    few, many = (detectable(Design(3, 32, k), truth) for k in (1, 5))
    assert many < few
    assert found(many, Design(3, 32, 5), truth) == pytest.approx(0.8, abs=0.025)


def test_where_degrees_are_certain_it_is_the_noncentral_t() -> None:
    """One seed: Student's t on the prompts. No prompts: on the seeds."""
    on_prompts = detectable(Design(1, 50), Components(prompt=4.0))
    assert on_prompts == pytest.approx(effects.detectable(2 / math.sqrt(50), 49), rel=0.01)
    on_seeds = detectable(Design(4, 1), Components(seed=9.0))
    assert on_seeds == pytest.approx(effects.detectable(3 / 2, 3), rel=0.02)
    assert detectable(Design(1, 1), Components(seed=1.0)) == math.inf


def test_more_of_anything_sees_less_and_more_power_costs_more() -> None:
    truth = Components(seed=0.1, prompt=0.5, seed_prompt=1.0)
    assert detectable(Design(3, 128), truth) < detectable(Design(3, 64), truth) < detectable(Design(2, 64), truth)
    assert detectable(Design(3, 64), truth, 0.9) > detectable(Design(3, 64), truth, 0.8)
    # seeds that differ cannot be made up for by prompts
    assert detectable(Design(3, 10_000), Components(seed=1.0, prompt=1.0, seed_prompt=1.0)) > 2.0


def test_the_need_is_the_fewest_seeds_that_suffice() -> None:
    truth = Components(seed=0.1, prompt=0.5, seed_prompt=1.0)
    designs = needed(0.5, truth)
    assert designs
    for design in designs:
        assert detectable(design, truth) <= 0.5
        assert design.seeds <= 2 or detectable(Design(design.seeds - 1, design.prompts), truth) > 0.5 or design.seeds > 6
    assert needed(1e-6, truth) == []


def test_given_standard_deviations() -> None:
    assert spread({"seed": 2.0, "prompt": 0.5}).known() == {"seed": 4.0, "prompt": 0.25}
    with pytest.raises(ValueError, match="at least 0, got seed=-1"):
        spread({"seed": -1.0})
