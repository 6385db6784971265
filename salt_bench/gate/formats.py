"""A report for whoever reads it: a terminal, a pull request, a build server (JUnit XML), GitHub's annotations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from salt_bench.gate.verdict import Finding, Report, Verdict

HEAD = ("verdict", "judge", "baseline", "candidate", "change [95%]", "margin", "prompts")
_MARKS = {
    Verdict.PASS: "✅",
    Verdict.REGRESSION: "❌",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.INCOMPARABLE: "🚫",
    Verdict.ERROR: "⚠️",
}
_LEVELS = {Verdict.PASS: "notice", Verdict.INCONCLUSIVE: "warning"}


def text(report: Report) -> str:
    """A table in columns, then the notes, then the verdict as the last line."""
    rows = [HEAD, *map(row, report.findings)] if report.findings else []
    return "\n".join([*columns(rows), *notes(report), report.sentence()])


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells padded to columns: texts to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]


def row(finding: Finding) -> tuple[str, ...]:
    """The cells of HEAD."""
    output = finding.gauge.output
    margin = f"{output.margin:.1%}" if output.relative else f"{output.margin:g} {_unit(output.unit)}".rstrip()
    return (
        str(finding.verdict),
        finding.gauge.name,
        number(finding.baseline),
        number(finding.candidate),
        finding.note or change(finding),
        margin,
        _rests(finding),
    )


def _rests(finding: Finding) -> str:
    """How many prompts, and how many of what would decide."""
    if finding.train_seeds == 1:
        return str(finding.prompts) + (f" of about {finding.needed:,}" if finding.needed else "")
    seeds = str(finding.train_seeds) + (f" of about {finding.needed:,}" if finding.needed else "")
    return f"{finding.prompts} × {seeds} seeds"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def change(finding: Finding) -> str:
    """The change and its interval, in the judge's unit or in percent."""
    low, high = sorted(finding.change(loss) for loss in (finding.low, finding.high))
    style = "+.1%" if finding.gauge.output.relative else "+.3g"
    return f"{finding.change(finding.loss):{style}} [{low:{style}}, {high:{style}}]"


def notes(report: Report) -> list[str]:
    """What was left out, and what looking early has saved."""
    said = list(report.notes)
    if 0 < report.used < report.asked:
        said.append(f"decided after {report.used} of {report.asked} prompts: {1 - report.used / report.asked:.0%} saved")
    return said


def markdown(report: Report) -> str:
    """For a comment on a pull request."""
    lines = [f"### {_MARKS[report.verdict]} {report.verdict}: `{report.candidate}` against `{report.baseline}`", ""]
    lines += [report.reason or report.sentence().partition(": ")[2], ""]
    if report.findings:
        rows = [HEAD, ("---",) * len(HEAD), *map(row, report.findings)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows] + [""]
    return "\n".join([*lines, *(f"- {note}" for note in notes(report)), *_legend(report)]).rstrip() + "\n"


def _legend(report: Report) -> Iterator[str]:
    if report.findings:
        yield (
            "- REGRESSION: the loss is larger than its margin, with at most 5% false alarms over all judges together. "
            "PASS: the 95% interval stays within the margin. INCONCLUSIVE: more prompts would tell."
        )


def junit(report: Report) -> str:
    """One test case per judge: REGRESSION is a failure, INCONCLUSIVE is skipped, all else that is no PASS is an error."""
    cases = [(finding.gauge.name, finding.verdict, _said(finding)) for finding in report.findings]
    cases = cases or [("comparable", report.verdict, report.reason)]
    suite = ElementTree.Element("testsuite", name="salt-bench check", tests=str(len(cases)))
    counts = {"failure": 0, "skipped": 0, "error": 0}
    for name, verdict, said in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=f"salt-bench.{report.candidate}", name=name)
        if (kind := _kind(verdict)) is not None:
            ElementTree.SubElement(case, kind, message=f"{verdict}: {said}")
            counts[kind] += 1
    suite.attrib |= {"failures": str(counts["failure"]), "skipped": str(counts["skipped"]), "errors": str(counts["error"])}
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _kind(verdict: Verdict) -> str | None:
    return {Verdict.PASS: None, Verdict.REGRESSION: "failure", Verdict.INCONCLUSIVE: "skipped"}.get(verdict, "error")


def _said(finding: Finding) -> str:
    return finding.note or f"{change(finding)}, {finding.loss:+.2f} margins lost on {finding.prompts} prompts"


def github(report: Report) -> list[str]:
    """Workflow commands that GitHub shows beside a change: one per judge that did not pass, then the verdict."""
    told = [f for f in report.findings if f.verdict is not Verdict.PASS]
    lines = [_annotation(f.verdict, f"{f.verdict} {f.gauge.name}", _said(f)) for f in told]
    return [*lines, _annotation(report.verdict, "salt-bench check", report.sentence())]


def _annotation(verdict: Verdict, title: str, message: str) -> str:
    return f"::{_LEVELS.get(verdict, 'error')} title={_escaped(title, ':,')}::{_escaped(message)}"


def _escaped(words: str, more: str = "") -> str:
    """As GitHub asks: percent, line ends, and in a property colon and comma too."""
    for sign in "%\r\n" + more:
        words = words.replace(sign, f"%{ord(sign):02X}")
    return words
