"""What a term may look at in one update."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny import Field, step

from salt_bench.rng import Draws

SHAPE = (2, 2, 2, 3, 3)


def test_draws_of_a_step_have_names() -> None:
    made = step(Field(lambda x, s, c: x), shape=SHAPE)
    assert torch.equal(made.normal("a"), made.normal("a"))
    assert not torch.equal(made.normal("a"), made.normal("b"))
    assert made.normal("a").shape == SHAPE
    assert made.uniform("a").shape == (2,)
    assert replace(made, draws=Draws(1)).uniform("a").tolist() != made.uniform("a").tolist()
