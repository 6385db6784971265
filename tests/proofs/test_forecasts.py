"""Five configurations of hundreds of megabytes: what each is said to need, against what its update takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "train"))

from test_forecast import CASES, within_a_tenth


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_within_a_tenth(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    within_a_tenth(name, tmp_path, monkeypatch)
