"""What two sides can be compared on: prompts, sample seeds and judges, or the reason why they cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from salt_bench import registry
from salt_bench.errors import UserError, WrongUse
from salt_bench.gate.gauge import Gauge, Outputs, gauges, overridden
from salt_bench.gate.live import WHOLE_WORLD, Live, Measuring, default_judges, in_order, known_prompts, open_live
from salt_bench.gate.protocol import missing_prompts
from salt_bench.gate.stored import Stored, open_stored
from salt_bench.judges.base import Judge
from salt_bench.prompts import captions
from salt_bench.types import Log, Prompt

Side = Stored | Live


class Incomparable(UserError):
    """Two sides were not measured alike; the message names the field: exit code 4."""

    code = 4


@dataclass(frozen=True)
class Ask:
    """What a user asks of a comparison. Empty `judges` and `seeds` and None `prompts` mean all that there are; margins are
    texts (see `gauge.overridden`). With `sequential`, one looks after every `batch` prompts. A file of `captions` is asked
    instead of a world's prompts."""

    judges: tuple[str, ...] = ()
    margins: tuple[str, ...] = ()
    prompts: int | None = None
    seeds: tuple[int, ...] = ()
    sequential: bool = False
    batch: int = 32
    runs: Path = Path("runs")
    captions: Path | None = None


@dataclass(frozen=True)
class Agenda:
    """What is measured on every side: prompts in the order in which they are looked at, sample seeds, gauges with the outputs
    that they come from, and the judges of live sides. `notes` say what is left out."""

    prompts: tuple[Prompt, ...]
    seeds: tuple[int, ...]
    outputs: Outputs
    gauges: tuple[Gauge, ...]
    judges: tuple[Judge, ...]
    notes: tuple[str, ...] = ()


def open_side(word: str, runs: Path) -> Side:
    """Results on disk, or an arm. Raises WrongUse where the word is neither, UserError where it is an empty folder."""
    if (stored := open_stored(word)) is not None:
        return stored
    try:
        return open_live(word, runs)
    except WrongUse as error:
        if Path(word).is_dir() and not any(Path(word).iterdir()):
            raise UserError(f"{word} is empty: it holds no checkpoint, no videos and no results") from None
        raise WrongUse(f"{error}; nor is it a folder of results, with manifest.json and scores.jsonl") from None


def agree(sides: Sequence[Side], ask: Ask) -> Agenda:
    """The agenda of all sides, the last of which is the baseline: its prompts, seeds and judges are the standard.

    Raises Incomparable where a side lacks some of them, UserError where nothing is left."""
    prompts = _prompts(sides, ask)
    outputs, judges, notes = _judges(sides, ask, prompts)
    outputs = overridden(outputs, ask.margins)
    chosen = gauges(outputs, ask.judges)
    if not chosen or not prompts:
        raise UserError(f"nothing to compare: {len(prompts)} prompts, {len(chosen)} judges with a margin")
    used = tuple(judge for judge in judges if judge.name in {gauge.judge for gauge in chosen})
    return Agenda(prompts, _seeds(sides, ask), outputs, tuple(chosen), used, notes)


# --------------------------------------------------------------------------------------------------------------- prompts


def _own_prompts(side: Side) -> tuple[Prompt, ...] | None:
    return side.prompts if isinstance(side, Stored) else side.prompts()


def _prompts(sides: Sequence[Side], ask: Ask) -> tuple[Prompt, ...]:
    asked = [captions.read(ask.captions)] if ask.captions else []
    pools = [*asked, *(pool for side in reversed(sides) if (pool := _own_prompts(side)) is not None)]
    standard = in_order(pools[0] if pools else sides[-1].world_prompts())  # type: ignore[union-attr]  # no pool: all are live
    chosen = standard[: ask.prompts or (len(standard) if pools else WHOLE_WORLD)]
    if lacking := [line for pool in pools[1:] for line in missing_prompts(pool, chosen)]:
        raise Incomparable("; ".join(lacking))
    return tuple(map(_understood, chosen))


def _understood(prompt: Prompt) -> Prompt:
    """With factors, where a study's manifest left them out and a world knows them."""
    known = None if prompt.world else known_prompts().get(prompt.id)
    return known if known and known.text == prompt.text else prompt


def _seeds(sides: Sequence[Side], ask: Ask) -> tuple[int, ...]:
    known = [side.sample_seeds if isinstance(side, Stored) else side.sample_seeds() for side in reversed(sides)]
    pools = [pool for pool in known if pool is not None]
    chosen = ask.seeds or (pools[0] if pools else (0,))
    if not chosen or any(set(chosen) - set(pool) for pool in pools):
        there = " against ".join(str(list(pool)) for pool in reversed(pools))
        raise Incomparable(f"sample_seeds: {list(chosen) or 'one for all prompts'} wanted, there are {there}")
    return tuple(chosen)


# ---------------------------------------------------------------------------------------------------------------- judges


def _judges(sides: Sequence[Side], ask: Ask, prompts: Sequence[Prompt]) -> tuple[Outputs, tuple[Judge, ...], tuple[str, ...]]:
    """Outputs of every judge that all sides have or can have, those judges for the live sides, and what is left out."""
    stored = [side for side in reversed(sides) if isinstance(side, Stored)]
    live = len(stored) < len(sides)
    wanted = list(dict.fromkeys(name.partition(".")[0] for name in ask.judges))
    if not stored:
        judges = tuple(map(_judge, wanted)) or default_judges(prompts)
        return {judge.name: dict(judge.outputs) for judge in judges}, judges, ()
    names = wanted or list(stored[0].outputs)
    lacking = [name for name in names if any(name not in side.outputs for side in stored)]
    if wanted and lacking:
        raise Incomparable(f"judges: {', '.join(lacking)} did not judge {' and '.join(_without(stored, lacking[0]))}")
    if live and not wanted:  # a study may have brought judges of its own
        lacking += [name for name in names if name not in registry.judges() and name not in lacking]
    judges = tuple(_judge(name) for name in names if name not in lacking) if live else ()
    notes = (f"not compared, since only one side has it: {', '.join(lacking)}",) if lacking else ()
    return {name: dict(stored[0].outputs[name]) for name in names if name not in lacking}, judges, notes


def _without(stored: Sequence[Stored], judge: str) -> list[str]:
    return [side.name for side in stored if judge not in side.outputs]


def _judge(name: str) -> Judge:
    """With the settings of the suite where it has one of that name, else at its defaults."""
    from salt_bench.suites.shapes import JUDGES

    return next((judge for judge in JUDGES if judge.name == name), None) or registry.judge(name)


# ------------------------------------------------------------------------------------------------------------- measuring


class Progressing:
    """A side that is looked at from look to look; results on disk are there from the beginning."""

    def __init__(self, side: Side, agenda: Agenda) -> None:
        self._measuring = Measuring(side, agenda.judges, agenda.seeds) if isinstance(side, Live) else None
        self._stored = side if isinstance(side, Stored) else None
        self._seeds = set(agenda.seeds)

    def until(self, new: Sequence[Prompt], seen: Sequence[Prompt], log: Log) -> Stored:
        """The side at the prompts `seen` so far, the last of which are `new`."""
        if self._measuring:
            self._measuring.measure(new, log)
            return self._measuring.stored()
        assert self._stored
        ids = {prompt.id for prompt in seen}
        kept = tuple(s for s in self._stored.scores if s.prompt in ids and s.sample_seed in self._seeds)
        said = {**self._stored.protocol, "sample_seeds": sorted(self._seeds)}
        return replace(self._stored, prompts=tuple(seen), scores=kept, protocol=said)
