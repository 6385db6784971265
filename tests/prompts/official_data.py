"""Where VBench's own data may lie beside a checkout; tests that need it are skipped where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "vbench"
needs_data = pytest.mark.skipif(not (DATA / "VBench_full_info.json.gz").is_file(), reason=f"VBench's own data is not at {DATA}")
