"""What a reader, a pull request, a build server and GitHub are told."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from sides import ERROR, SHARP

from salt_bench.gate import formats
from salt_bench.gate.verdict import Finding, Report, Verdict

LOST = Finding(ERROR, Verdict.REGRESSION, 64, 1, 2.0, 1.5, 2.5, 24.0, 20.0)
KEPT = Finding(SHARP, Verdict.PASS, 64, 1, -0.5, -0.75, -0.25, 1.03, 1.0)
OPEN = Finding(SHARP, Verdict.INCONCLUSIVE, 64, 1, 0.9, 0.2, 1.6, 0.95, 1.0, 700)
REPORT = Report("new", "old", Verdict.REGRESSION, (LOST, KEPT), used=64, asked=128, notes=("not compared: x",))
APART = Report("new", "old", Verdict.INCOMPARABLE, reason="sampler.grid is [1.0] against [1.0, 0.5]")


def test_the_table_gives_numbers_in_the_judges_unit_and_ends_with_the_verdict() -> None:
    lines = formats.text(REPORT).splitlines()
    assert lines[1].split() == [
        "REGRESSION", "bright.error", "20", "24", "+4", "[+3,", "+5]", "2", "levels", "64",
    ]  # fmt: skip
    assert "+2.6% [+1.3%, +3.9%]" in lines[2]
    assert "5.0%" in lines[2]
    assert lines[3:5] == ["not compared: x", "decided after 64 of 128 prompts: 50% saved"]
    assert lines[-1] == "REGRESSION: bright.error: new lost more than the margin, 2.0 of them at most, against old"
    assert formats.text(APART) == "INCOMPARABLE: sampler.grid is [1.0] against [1.0, 0.5]"


def test_how_many_would_decide_is_said() -> None:
    report = replace(REPORT, verdict=Verdict.INCONCLUSIVE, findings=(KEPT, OPEN))
    assert report.sentence() == "INCONCLUSIVE: sharp.score: 64 prompts do not tell, about 700 would"
    assert "64 of about 700" in formats.text(report)
    never = replace(report, findings=(replace(OPEN, needed=None),))
    assert "100,000 would not either" in never.sentence()
    seeds = replace(report, findings=(replace(OPEN, train_seeds=3, needed=5),))
    assert "3 training seeds do not tell, about 5 would" in seeds.sentence()
    assert "64 × 3 of about 5 seeds" in formats.text(seeds)


def test_markdown_is_a_heading_and_a_table() -> None:
    lines = formats.markdown(REPORT).splitlines()
    assert lines[0] == "### ❌ REGRESSION: `new` against `old`"
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {len(formats.HEAD) + 1}
    assert "sampler.grid" in formats.markdown(APART)
    assert "| ---" not in formats.markdown(APART)


def test_junit_counts_failures_errors_and_what_is_open() -> None:
    broken = Finding(ERROR, Verdict.ERROR, note='too <dark> & "small"')
    suite = ElementTree.fromstring(formats.junit(replace(REPORT, findings=(LOST, KEPT, OPEN, broken))))
    assert [suite.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["4", "1", "1", "1"]
    kinds = [[child.tag for child in case] for case in suite]
    assert kinds == [["failure"], [], ["skipped"], ["error"]]
    assert suite[3][0].get("message") == 'ERROR: too <dark> & "small"'
    alone = ElementTree.fromstring(formats.junit(APART))
    assert (alone[0].get("name"), alone[0][0].tag) == ("comparable", "error")


@pytest.mark.parametrize(
    ("verdict", "level"), [("PASS", "notice"), ("REGRESSION", "error"), ("INCONCLUSIVE", "warning"), ("INCOMPARABLE", "error")]
)
def test_github_shows_levels(verdict: str, level: str) -> None:
    lines = formats.github(Report("new", "old", Verdict(verdict), reason="50%\nof it"))
    assert lines == [f"::{level} title=salt-bench check::{verdict}: 50%25%0Aof it"]


def test_github_names_each_judge_that_did_not_pass() -> None:
    first, last = formats.github(REPORT)
    assert first.startswith("::error title=REGRESSION bright.error::+4 [+3, +5], +2.00 margins lost")
    assert last.startswith("::error title=salt-bench check::REGRESSION")
