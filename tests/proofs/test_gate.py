"""The gate on real checkpoints of the embedded world, small students of the shipped teacher.

The same checkpoint passes; a twin of another training seed is no regression; noise on the weights that costs two margins is;
three samples say nothing; another sampler's grid is not compared. Prints what each check said.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from salt_bench.gate.agenda import Ask
from salt_bench.gate.check import check, find, measure
from salt_bench.gate.gauge import gauges
from salt_bench.gate.live import Live, Measuring, default_judges
from salt_bench.gate.stored import Stored, save
from salt_bench.gate.verdict import Report, Verdict, decide
from salt_bench.worlds.shapes import ShapesWorld
from salt_train.finished import checkpoint_arm
from salt_train.methods.dmd import dmd
from salt_train.recipe import checkpoints

STEPS, PROMPTS, CALIBRATION = 3, 96, 48
MARGINS, TOLERANCE = 2.0, 0.1


def quiet(stage: str, share: float) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A work folder with two trained twins, and one thread."""
    before, folder = torch.get_num_threads(), tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    for seed in (0, 1):
        dmd(4, steps=STEPS).prepare(seed, folder, quiet)
    yield folder
    torch.set_num_threads(before)


def trained(runs: Path, seed: int) -> Path:
    return checkpoints(runs) / dmd(4, steps=STEPS).fingerprint(seed)


@pytest.fixture(scope="module")
def baseline(runs: Path) -> Path:
    """The first twin's scores, saved."""
    save(runs / "baseline", measure(str(trained(runs, 0)), Ask(prompts=PROMPTS, runs=runs), quiet))
    return runs / "baseline"


def verdict(candidate: Path, baseline: Path, runs: Path, prompts: int | None = None) -> Report:
    report = check(str(candidate), str(baseline), Ask(prompts=prompts, runs=runs), quiet).report
    print(f"\n{candidate.name}: {report.sentence()}")
    return report


def noisy(folder: Path, amount: float) -> Path:
    """A copy whose every tensor carries noise of `amount` of its own standard deviation."""
    copy = shutil.copytree(folder, folder.parent.parent / f"noise-{amount:.4f}", dirs_exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: tensor + amount * tensor.std(correction=0) * torch.randn(tensor.shape, generator=generator)
        for name, tensor in sorted(load_file(folder / "student.safetensors").items())
    }
    save_file(tensors, copy / "student.safetensors")
    return copy


def on_validation(folder: Path, runs: Path) -> Stored:
    """Scores on other prompts than those that are gated."""
    arm = checkpoint_arm(str(folder))
    assert arm is not None
    prompts = ShapesWorld().prompts("validation")[:CALIBRATION]
    measuring = Measuring(Live(folder.name, arm, runs), [j for j in default_judges(prompts) if j.name in CHEAP], (0,))
    measuring.measure(prompts, quiet)
    return measuring.stored()


CHEAP = ("shapes", "temporal_flickering", "sharpness")


def costing(margins: float, folder: Path, runs: Path) -> Path:
    """The noisy copy whose worst judge loses so many margins on validation prompts: bisection of the amount."""
    clean = on_validation(folder, runs)
    low, high = 0.0, 0.5
    for _ in range(12):
        copy = noisy(folder, (low + high) / 2)
        found = find(on_validation(copy, runs), clean, gauges(clean.outputs), decide, last=True)
        lost = max(finding.loss for finding in found)
        if abs(lost - margins) < TOLERANCE:
            break
        low, high = ((low + high) / 2, high) if lost < margins else (low, (low + high) / 2)
    print(f"\n{copy.name} costs {lost:.2f} margins on {CALIBRATION} validation prompts", end="")
    return copy


def test_the_same_checkpoint_passes(runs: Path, baseline: Path) -> None:
    assert verdict(trained(runs, 0), baseline, runs).verdict is Verdict.PASS


def test_a_twin_is_no_regression(runs: Path, baseline: Path) -> None:
    assert verdict(trained(runs, 1), baseline, runs).verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_noise_that_costs_two_margins_is_a_regression(runs: Path, baseline: Path) -> None:
    assert verdict(costing(MARGINS, trained(runs, 0), runs), baseline, runs).verdict is Verdict.REGRESSION


def test_three_samples_say_nothing(runs: Path, baseline: Path) -> None:
    assert verdict(trained(runs, 0), baseline, runs, prompts=3).verdict is Verdict.INCONCLUSIVE


def test_another_grid_is_not_compared(runs: Path, baseline: Path) -> None:
    other = shutil.copytree(trained(runs, 0), runs / "other-grid")
    recipe = json.loads((other / "recipe.json").read_text())
    recipe["sampling"]["grid"] = [1.0, 0.75]
    (other / "recipe.json").write_text(json.dumps(recipe))
    report = verdict(other, baseline, runs)
    assert report.verdict is Verdict.INCOMPARABLE
    assert "sampler.grid" in report.reason
