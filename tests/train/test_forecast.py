"""What a run is said to need is what it takes: forecasts against the bytes of real tensors in the real update."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from crews import ALIGNED
from test_causal_training import causal
from tiny import GRID4, student
from torch import nn

from salt_train import train as training
from salt_train.layout import PLAIN, Layout
from salt_train.memory import GRADIENT, KEPT, WORK, Ledger, booked
from salt_train.objectives.base import Objective
from salt_train.objectives.dmd import DMD
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.plan import Demand, demands
from salt_train.recipe import Recipe
from salt_train.steps import Steps
from salt_train.train import build, update


def test_a_ledger_counts_what_is_alive() -> None:
    with Ledger() as ledger:
        one = torch.zeros(1000)
        view = one.view(10, 100)
        two = one + 1
        assert ledger.live[WORK] == 8000
        del one, two
        assert ledger.live[WORK] == 4000, "a view keeps its storage"
        del view
    assert (ledger.live[WORK], ledger.peaks) == (0, [8000])


def test_a_ledger_counts_what_autograd_keeps() -> None:
    """A map of 50 vectors of 100 numbers, squared: its output is kept for the gradient, which is as large as the weights."""
    layer = nn.Linear(100, 100, bias=False)
    with Ledger() as ledger:
        ledger.book(KEPT, layer.parameters())
        booked(ledger, layer.parameters())
        x = torch.ones(50, 100)
        y = layer(x).square()
        assert ledger.live == {KEPT: 40_000, GRADIENT: 0, WORK: 60_000}
        y.sum().backward()
        assert ledger.live == {KEPT: 40_000, GRADIENT: 40_000, WORK: 40_000}


def test_of_gradients_a_share_may_count() -> None:
    with Ledger((1.0, 0.25)) as ledger:
        gradient = torch.zeros(1000)
        ledger.book(GRADIENT, [gradient])
        ledger.start()
        torch.zeros(500)
    assert ledger.peaks == [6000, 3000]


def large(recipe: Recipe, width: int, layers: int, batch: int) -> Recipe:
    """The same recipe with networks of tens of megabytes."""
    backbone = replace(recipe.backbone, width=width, heads=8, layers=layers, hidden=3 * width)
    stages = {"teacher": recipe.teacher and replace(recipe.teacher, backbone=replace(backbone, timeless=False))}
    return replace(recipe, backbone=backbone, batch=batch, critic_updates=min(recipe.critic_updates, 1), **stages)


def forcing() -> Recipe:
    return replace(causal(TeacherForcing()), teacher=None, critic=None, critic_updates=0, grid=())


def on_four(*terms: Objective) -> Recipe:
    return causal(*terms, grid=GRID4)


CASES = {
    "DMD": (large(student(DMD()), 512, 4, 16), PLAIN),
    "SC-DMD, checkpointing": (large(student(), 640, 4, 16), Layout(checkpointing=True)),
    "Self Forcing": (large(on_four(DMD()), 512, 4, 8), PLAIN),
    "Salt": (large(on_four(DMD(), SelfConsistency(), ALIGNED), 512, 4, 6), PLAIN),
    "Teacher Forcing": (large(forcing(), 1024, 2, 12), PLAIN),
}


def measured(recipe: Recipe, root: Path, layout: Layout) -> int:
    """The most bytes of tensors that are alive at once in an update with everything in its place."""
    nets, steps = build(recipe, root, layout), Steps(recipe, root)
    for stepper in (nets.optimiser, *nets.critic_optimisers.values()):
        stepper.begin()
    networks = [nets.student, nets.ema, *nets.critics.values(), *([nets.teacher] if nets.teacher else [])]
    states = [s for part in (nets.optimiser, *nets.critic_optimisers.values()) for p in part.parts for s in p.state.values()]
    with Ledger() as ledger:
        ledger.book(KEPT, (t for net in networks for t in (*net.parameters(), *net.buffers())))
        ledger.book(KEPT, (t for state in states for t in state.values()))
        kept = ledger.live[KEPT]
        ledger.start()
        update(nets, recipe, steps, 0)
        assert ledger.live[KEPT] == kept
    return kept + int(ledger.peaks[0])


def said(recipe: Recipe, layout: Layout) -> Demand:
    (found,) = demands(recipe, replace(layout, micro=recipe.batch), (1,), 10**9)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_within_a_tenth(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, layout = CASES[name]
    monkeypatch.setattr(training, "fill", lambda net, stage, root: None)  # random weights are as large as trained ones
    found, wanted = said(recipe, layout), measured(recipe, root, layout)
    print(
        f"\n{name}: forecast {found.bytes / 1e6:.1f} MB, measured {wanted / 1e6:.1f} MB",
        found.phase,
        {k: round(v / 1e6, 1) for k, v in found.rows.items()},
    )
    assert wanted > 200e6
    assert found.bytes == pytest.approx(wanted, rel=0.1)
