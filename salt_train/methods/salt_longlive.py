"""Salt on LongLive: the same three parts in the initial training that long tuning starts from.

Source: Salt (arXiv 2604.03118), tables T2 and T3.
"""

from __future__ import annotations

from dataclasses import replace

from salt_train.methods.longlive import longlive
from salt_train.methods.salt import salted
from salt_train.recipe import Recipe


def salt_longlive(mixed: bool = True, consistency: float = 0.2, alignment: float = 0.1, setup: str = "shapes") -> Recipe:
    """LongLive's short training with Salt's three parts, then its streaming tuning."""
    short = salted(longlive("short", setup=setup), mixed, consistency, alignment, "longlive", setup)
    return replace(longlive(setup=setup), init=short)
