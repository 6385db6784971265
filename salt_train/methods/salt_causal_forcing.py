"""Salt on Causal Forcing: the same three parts on the last stage of Causal Forcing.

Source: Salt (arXiv 2604.03118), table A2.
"""

from __future__ import annotations

from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.salt import salted
from salt_train.recipe import Recipe


def salt_causal_forcing(mixed: bool = True, consistency: float = 0.2, alignment: float = 0.1, setup: str = "shapes") -> Recipe:
    """The last stage of Causal Forcing with Salt's three parts, each of which can be left out."""
    return salted(causal_forcing(setup=setup), mixed, consistency, alignment, "causal_forcing", setup)
