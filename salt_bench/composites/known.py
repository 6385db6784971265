"""The benchmarks whose arithmetic is known, by name."""

from __future__ import annotations

from collections.abc import Mapping

from salt_bench.composites import vbench_i2v, vbench_long, vbench_total
from salt_bench.composites.scheme import Scheme

SCHEMES: Mapping[str, Scheme] = {one.name: one for one in (vbench_total.SCHEME, vbench_i2v.SCHEME, vbench_long.SCHEME)}
