"""A candidate against a baseline: look at prompts, all at once or batch by batch, until the gauges are decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from salt_bench import results
from salt_bench.errors import UserError, WrongUse
from salt_bench.gate.agenda import Agenda, Ask, Incomparable, Progressing, agree, open_side
from salt_bench.gate.gauge import Gauge
from salt_bench.gate.loss import LEAST, loss
from salt_bench.gate.protocol import differences
from salt_bench.gate.stored import Stored
from salt_bench.gate.verdict import Finding, Report, Verdict, decide, decide_early, needed, overall, plan
from salt_bench.stats.crossed import Fit
from salt_bench.stats.effects import pairs
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Log, Score

CANDIDATE, BASELINE = "candidate", "baseline"
Decide = Callable[[Sequence[Fit], Sequence[int]], list[Verdict]]


class Checked(NamedTuple):
    """What a check found, and the candidate as far as it was measured (None where it never came to that)."""

    report: Report
    candidate: Stored | None


def check(candidate: str, baseline: str, ask: Ask, log: Log) -> Checked:
    """The words' verdict. What is in the way of one is a verdict too, INCOMPARABLE or ERROR; WrongUse alone is raised."""
    try:
        sides = open_side(candidate, ask.runs), open_side(baseline, ask.runs)
        names = sides[0].name, sides[1].name
        agenda = agree(sides, ask)
        return _look(Progressing(sides[0], agenda), Progressing(sides[1], agenda), agenda, ask, log)
    except WrongUse:
        raise
    except Incomparable as error:
        return Checked(Report(*names, Verdict.INCOMPARABLE, reason=str(error)), None)
    except UserError as error:
        return Checked(Report(candidate, baseline, Verdict.ERROR, reason=str(error)), None)


def measure(word: str, ask: Ask, log: Log) -> Stored:
    """One side alone, with the margins that were asked for: what is to be a baseline."""
    side = open_side(word, ask.runs)
    agenda = agree([side], ask)
    found = Progressing(side, agenda).until(agenda.prompts, agenda.prompts, log)
    return replace(found, outputs={judge: agenda.outputs[judge] for judge in found.outputs if judge in agenda.outputs})


def _look(candidate: Progressing, baseline: Progressing, agenda: Agenda, ask: Ask, log: Log) -> Checked:
    looks = _looks(len(agenda.prompts), ask)
    levels, before = plan(looks, len(agenda.gauges)), 0
    for look, level in zip(looks, levels, strict=True):
        new, seen = agenda.prompts[before:look], agenda.prompts[:look]
        sides = candidate.until(new, seen, log), baseline.until(new, seen, log)
        _refuse_differences(*sides, agenda)
        last = look == looks[-1]
        decided = decide if len(looks) == 1 else lambda fits, n, level=level: decide_early(fits, n, level)
        findings = find(*sides, agenda.gauges, decided, last)
        verdict = overall([finding.verdict for finding in findings])
        if last or verdict not in (Verdict.INCONCLUSIVE, Verdict.ERROR):
            break
        before = look
    names = sides[0].name, sides[1].name
    return Checked(Report(*names, verdict, findings, "", look, looks[-1], agenda.notes), sides[0])


def _looks(prompts: int, ask: Ask) -> list[int]:
    """After how many prompts one looks."""
    if not ask.sequential:
        return [prompts]
    return [*range(max(ask.batch, LEAST), prompts, max(ask.batch, 1)), prompts]


def _refuse_differences(candidate: Stored, baseline: Stored, agenda: Agenda) -> None:
    judged = {gauge.judge for gauge in agenda.gauges}
    found = differences(candidate.protocol_of(judged), baseline.protocol_of(judged))
    if found:
        raise Incomparable("; ".join(found))


# -------------------------------------------------------------------------------------------------------------- findings


def find(candidate: Stored, baseline: Stored, gauges: Sequence[Gauge], decided: Decide, last: bool) -> tuple[Finding, ...]:
    """What each gauge says of the prompts that both sides have. What cannot be computed is an ERROR at the `last` look."""
    ours, theirs = candidate.called(CANDIDATE), baseline.called(BASELINE)
    table = Table(results.frame([*ours, *theirs]))
    seen = {gauge: _gap(ours, theirs, gauge) or _seen(table, gauge) for gauge in gauges}
    fits = {gauge: found for gauge, found in seen.items() if isinstance(found, _Seen)}
    verdicts = dict(zip(fits, decided([f.fit for f in fits.values()], [f.prompts for f in fits.values()]), strict=True))
    broken = Verdict.ERROR if last else Verdict.INCONCLUSIVE
    return tuple(
        _finding(gauge, found, verdicts[gauge], len(gauges)) if isinstance(found, _Seen) else Finding(gauge, broken, note=found)
        for gauge, found in seen.items()
    )


class _Seen(NamedTuple):
    """A gauge's loss, on how many prompts, and both sides' means."""

    fit: Fit
    train_seeds: int
    prompts: int
    candidate: float
    baseline: float


def _seen(table: Table, gauge: Gauge) -> _Seen | str:
    """The loss, or why there is none."""
    try:
        x, y = pairs(table, Quantity("", gauge.judge, gauge.part), CANDIDATE, BASELINE)
        train_seeds, prompts = x.shape
        return _Seen(loss(x, y, gauge), train_seeds, prompts, float(np.nanmean(x)), float(np.nanmean(y)))
    except ValueError as error:
        return str(error)


def _gap(candidate: Sequence[Score], baseline: Sequence[Score], gauge: Gauge) -> str:
    """Where only the baseline has a number, that is not passed over: why the candidate has none, or "". A part that is left out
    of a score does not apply to its clip, and that is no gap."""
    known = {_clip(score) for score in baseline if score.judge == gauge.judge and score.values.get(gauge.part) is not None}
    there = {_clip(score): score for score in candidate if score.judge == gauge.judge}
    if absent := len(known - there.keys()):
        return f"{absent} of {len(known)} clips of the candidate were never judged: measure it again"
    failed = [there[clip] for clip in sorted(known) if there[clip].values.get(gauge.part, 0.0) is None]
    return f"{len(failed)} clips of the candidate could not be judged, the first because: {failed[0].note}" if failed else ""


def _clip(score: Score) -> tuple[int, str, int]:
    return score.train_seed, score.prompt or "", score.sample_seed


def _finding(gauge: Gauge, seen: _Seen, verdict: Verdict, gauges: int) -> Finding:
    mean, half = float(seen.fit.mean), float(seen.fit.half())
    more = (seen.prompts, gauges) if seen.train_seeds == 1 else (seen.train_seeds, gauges, 2)
    wanted = needed(seen.fit, *more) if verdict is Verdict.INCONCLUSIVE else None
    rests = seen.prompts, seen.train_seeds
    return Finding(gauge, verdict, *rests, mean, mean - half, mean + half, seen.candidate, seen.baseline, wanted)
