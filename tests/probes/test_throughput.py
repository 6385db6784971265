"""The clock, on a field that takes a known time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from test_probes import COARSE, FINE, PROMPTS, FieldArm, probed
from torch import Tensor

from salt_bench.probes.throughput import Throughput

PAUSE = 0.004


def slow(x: Tensor, sigma: float) -> Tensor:
    began = time.process_time()
    while time.process_time() - began < PAUSE:
        pass
    return x * 0


def test_frames_per_second_of_a_field_that_takes_its_time() -> None:
    arm, probe = FieldArm(slow), Throughput((COARSE, FINE), most=2, repeats=3)
    *_, final = arm.sampler(0, Path()).path(PROMPTS[:1], 0)
    frames = arm.sampler(0, Path()).decode(final).shape[1]
    found = probed(probe, arm)
    assert list(found) == [p.id for p in PROMPTS[:2]]
    for values in found.values():
        for steps in (4, 8):
            assert frames / values[f"denoise {steps}"] == pytest.approx(steps * PAUSE, rel=0.6)
            assert values[f"whole {steps}"] < values[f"denoise {steps}"]
            assert values[f"first {steps}"] == pytest.approx(frames / values[f"denoise {steps}"], rel=0.3)
        assert values["denoise 4"] > 1.3 * values["denoise 8"]


def test_a_clock_is_measured_under_the_grids_it_names() -> None:
    assert {name.split()[-1] for name in Throughput((COARSE, FINE)).outputs} == {"4", "8"}
    assert Throughput((COARSE,)).protocol() != Throughput((FINE,)).protocol()
