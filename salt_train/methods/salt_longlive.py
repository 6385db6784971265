"""Salt on LongLive: the same three parts in the initial training that long tuning starts from."""

from __future__ import annotations

from dataclasses import replace

from salt_train.methods.longlive import longlive
from salt_train.methods.salt import salted
from salt_train.recipe import Recipe


def salt_longlive(mixed: bool = True, consistency: float = 0.2, alignment: float = 0.1) -> Recipe:
    """LongLive's short training with Salt's three parts, then its streaming tuning."""
    return replace(longlive(), init=salted(longlive("short"), mixed, consistency, alignment))
