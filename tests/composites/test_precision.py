"""What a smaller suite loses, by simulation and by the formula."""

from __future__ import annotations

from math import sqrt

import pytest

from salt_bench.composites import precision
from salt_bench.composites.precision import FULL, LITE, SHARES, Design, loss


def test_lite_costs_a_tenth_and_full_is_full() -> None:
    assert FULL.videos == 4720 + 2 * 5
    assert LITE.videos == 475


@pytest.mark.parametrize("share", SHARES)
def test_lite_loses_what_the_variances_say(share: float) -> None:
    """Half the prompts: variance (share + rest) · 2 / P, beside (share + rest / 5) / P."""
    found = loss(LITE, share, repetitions=1500)
    assert found.ratio == pytest.approx(sqrt(2 / (share + (1 - share) / 5)), rel=0.06)
    assert found.apart == pytest.approx(sqrt(found.design**2 - found.full**2), rel=0.06), "a part of the whole's videos"
    assert 1.5 < found.ratio < 2.4


def test_prompts_are_worth_more_than_samples() -> None:
    few, many = Design("few", 5, 5), Design("many", 1, 1)
    assert few.videos == pytest.approx(many.videos, rel=0.03)
    assert all(loss(many, share, 300).design < loss(few, share, 300).design for share in SHARES)


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "DESIGNS", (LITE,))
    precision.show()
    assert "lite" in capsys.readouterr().out


def test_the_table_has_a_line_for_each_design() -> None:
    lines = precision.table(20).splitlines()
    assert [line.split("  ")[0] for line in lines[2:]] == [design.name for design in precision.DESIGNS]
    assert "1.00" in lines[2]
