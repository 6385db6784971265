"""Wan 2.1 with a teacher no larger than student and critic, 1.3B: the cheapest of the usual ways to make one GPU enough.

No such recipe of the paper is public: all constants are those of the 14B teacher.
"""

from __future__ import annotations

from dataclasses import replace

from salt_train.setups.wan21 import SETUP as LARGE
from salt_train.setups.wan21 import SMALL_RECIPE

SETUP = replace(LARGE, teacher=SMALL_RECIPE)
