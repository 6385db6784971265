"""Any number of arms side by side: means with intervals, and paired differences to the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salt_bench import results
from salt_bench.errors import UserError
from salt_bench.gate.agenda import Ask, Progressing, agree, open_side
from salt_bench.gate.formats import columns, number
from salt_bench.gate.gauge import Gauge
from salt_bench.gate.protocol import differences
from salt_bench.stats.effects import effect, summary
from salt_bench.stats.table import Quantity, Table
from salt_bench.types import Log

HEAD = ("judge", "arm", "mean [95%]", "difference to the first [95%]", "prompts")


@dataclass(frozen=True)
class Comparison:
    """Cells of HEAD, and what was not alike; a comparison says so and goes on, a gate would stop."""

    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def text(self) -> str:
        return "\n".join([*columns([HEAD, *self.rows]), *self.notes])


def compare(words: Sequence[str], ask: Ask, log: Log) -> Comparison:
    """The first word is what the others are held against: its prompts, seeds and judges are the standard."""
    sides = [open_side(word, ask.runs) for word in words]
    agenda = agree([*sides[1:], sides[0]], ask)
    measured = [Progressing(side, agenda).until(agenda.prompts, agenda.prompts, log) for side in sides]
    names = _distinct(words, [side.name for side in measured])
    if not all(side.scores for side in measured):
        raise UserError(f"nothing was judged of {names[[bool(side.scores) for side in measured].index(False)]}")
    table = Table(results.frame(s for side, name in zip(measured, names, strict=True) for s in side.called(name)))
    rows = [row for gauge in agenda.gauges for row in _rows(table, gauge, names)]
    judges = {gauge.judge for gauge in agenda.gauges}
    unlike = [
        f"{name} was not measured like {names[0]}: {'; '.join(found)}"
        for side, name in zip(measured[1:], names[1:], strict=True)
        if (found := differences(side.protocol_of(judges), measured[0].protocol_of(judges)))
    ]
    return Comparison(tuple(rows), (*agenda.notes, *unlike))


def _distinct(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Short names where they tell the sides apart, else the words themselves, and numbers behind what is equal even so."""
    if len(set(names)) == len(names):
        return list(names)
    return [word if words.index(word) == i else f"{word} ({i + 1})" for i, word in enumerate(words)]


def _rows(table: Table, gauge: Gauge, names: Sequence[str]) -> list[tuple[str, ...]]:
    what = Quantity("", gauge.judge, gauge.part)
    rows: list[tuple[str, ...]] = []
    for name in names:
        try:
            own = summary(table, what, name)
            mean, prompts = f"{number(own.mean)} [{number(own.low)}, {number(own.high)}]", str(own.prompts)
            rows.append((gauge.name, name, mean, "" if name == names[0] else _difference(table, what, name, names[0]), prompts))
        except ValueError as error:
            rows.append((gauge.name, name, "-", str(error), "0"))
    return rows


def _difference(table: Table, what: Quantity, name: str, first: str) -> str:
    found = effect(table, what, name, first)
    return f"{found.mean:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"
