"""SC-DMD: distribution matching with self-consistency on the 8-grid, sampled on the 4-grid (Salt).

Source: Salt (arXiv 2604.03118), "SC-DMD".
"""

from __future__ import annotations

from dataclasses import replace

from salt_train.methods.dmd import dmd
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.recipe import Recipe


def sc_dmd(
    weight: float = 0.2,
    weighting: str = "released",
    detach: str = "composed",
    rule: str = "released",
    setup: str = "shapes",
) -> Recipe:
    """L_DMD + λ·L_SC with the released form as the default; see `SelfConsistency` for its switches."""
    base = dmd(8, setup=setup)
    return replace(base, objectives=(*base.objectives, SelfConsistency(weight, weighting, detach, rule)))
