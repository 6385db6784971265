"""A pytest plugin: `pytest --salt-baseline DIR` and the fixture `salt_check`, which gates a candidate inside a test.

    def test_the_student_is_as_good_as_before(salt_check):
        salt_check("runs/checkpoints/0123456789ab", judges=("shapes", "sharpness"), prompts=128)

Anything but PASS fails the test, INCONCLUSIVE too: a gate that does not know is shut. Without --salt-baseline it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from salt_bench.gate.verdict import Report

Check = Callable[..., "Report"]


def pytest_addoption(parser: pytest.Parser) -> None:
    help_ = "what salt_check holds candidates against: saved results, a checkpoint or a folder of videos"
    parser.getgroup("salt").addoption("--salt-baseline", metavar="DIR", default=None, help=help_)


@pytest.fixture
def salt_check(request: pytest.FixtureRequest) -> Check:
    """Checks a candidate (a path) against --salt-baseline and returns the report of a PASS; fails the test with any other."""
    baseline = request.config.getoption("--salt-baseline")
    if baseline is None:
        pytest.skip("salt_check needs a baseline: pytest --salt-baseline DIR")

    def check(
        candidate: str | PathLike[str],
        *,
        judges: Sequence[str] = (),
        margins: Sequence[str] = (),
        prompts: int | None = None,
        sequential: bool = False,
        runs: Path = Path("runs"),
    ) -> Report:
        from salt_bench.gate import formats
        from salt_bench.gate.agenda import Ask
        from salt_bench.gate.check import check as checked
        from salt_bench.gate.verdict import Verdict

        ask = Ask(tuple(judges), tuple(margins), prompts, sequential=sequential, runs=runs)
        report = checked(fspath(candidate), baseline, ask, lambda stage, share: None).report
        if report.verdict is not Verdict.PASS:
            pytest.fail(formats.text(report), pytrace=False)
        return report

    return check
