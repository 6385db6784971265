"""Salt on Self Forcing: mixed step counts, self-consistency at 8 steps, alignment at 2 and 4 with the next denser grid.

Source: Salt (arXiv 2604.03118), table A2.
"""

from __future__ import annotations

from salt_train.methods.salt import salted
from salt_train.methods.self_forcing import self_forcing
from salt_train.recipe import Recipe


def salt_self_forcing(mixed: bool = True, consistency: float = 0.2, alignment: float = 0.1, setup: str = "shapes") -> Recipe:
    """The last stage of Self Forcing with Salt's three parts, each of which can be left out (Salt, table A2)."""
    return salted(self_forcing(setup=setup), mixed, consistency, alignment, "self_forcing", setup)
