"""A published table of scores, column-wise and lossless: what many scores share is said once.

The first line is `{"prompts": [ids …]}`: all prompts that occur, sorted, each once. Every other line is a block, the scores of
one (arm, setting, train_seed, sample_seed, judge):

    {"arm", "judge", "prompts": [places in the first line, rising], "sample_seed", "setting", "train_seed",
     "values": {part: [one float64 per prompt, as its shortest text; null where it could not be judged]},
     "weights": [one per prompt], "notes": [one text per prompt]}

- `weights` is there only where one is not 1, `notes` only where one is not "". A null has a note that says why.
- A part that is absent is not a null. So all scores of a block have the same parts, and where a judge leaves one out for some
  prompts (a relation, where there is a single object), those scores make a block of their own.
- A score without a prompt (a set judge's) is a block of its own as well: `"prompts": null`, and columns of one entry.
- Blocks are sorted by (arm, setting, train_seed, sample_seed, judge, whether there are prompts, parts), and keys by name: the
  bytes depend on the scores alone.

`results` reads and writes the files, `long` makes a data frame. Needs neither torch nor pandas.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NoReturn

from salt_bench.types import Score

_NEEDED = {"arm": str, "setting": str, "train_seed": int, "sample_seed": int, "judge": str, "values": dict}
_NUMBER: set[type] = {float}
_NUMBER_OR_NULL: set[type] = {float, type(None)}
_TEXT: set[type] = {str}
_INFINITE = {math.inf, -math.inf}


@dataclass(frozen=True)
class Block:
    """One line: scores that share their arm, setting, seeds, judge and parts. Fields and columns are those of the line."""

    arm: str
    setting: str
    train_seed: int
    sample_seed: int
    judge: str
    prompts: Sequence[int] | None
    values: Mapping[str, Sequence[float | None]]
    weights: Sequence[float] | None = None
    notes: Sequence[str] | None = None

    @property
    def rows(self) -> int:
        """How many scores these are: a set's is one."""
        return 1 if self.prompts is None else len(self.prompts)

    def ids(self, prompts: Sequence[str]) -> Sequence[str | None]:
        """The prompt of each score, of `prompts`, the table's; None for a set."""
        return (None,) if self.prompts is None else [prompts[i] for i in self.prompts]

    def line(self) -> str:
        return text({name: value for name, value in vars(self).items() if value is not None or name == "prompts"})

    def scores(self, prompts: Sequence[str]) -> Iterator[Score]:
        """The scores, in the order of the columns."""
        cells = zip(*self.values.values(), strict=True) if self.values else repeat((), self.rows)
        told = zip(self.ids(prompts), cells, self.weights or repeat(1.0), self.notes or repeat(""), strict=False)
        for prompt, row, weight, note in told:
            values = dict(zip(self.values, row, strict=True))
            yield Score(self.arm, self.setting, self.train_seed, prompt, self.sample_seed, self.judge, values, weight, note)


@dataclass(frozen=True)
class Dense:
    """A whole table: the prompts that occur, sorted, and its blocks."""

    prompts: Sequence[str]
    blocks: Sequence[Block]

    @classmethod
    def of(cls, scores: Iterable[Score]) -> Dense:
        """Raises ValueError for a key that comes twice, and for what `known` refuses."""
        groups: dict[tuple[Any, ...], list[Score]] = {}
        last: tuple[Any, ...] | None = None
        for score in sorted(scores, key=Score.key):
            if score.key() == last:
                raise ValueError(f"two scores have the key {last}: give each key once")
            last = score.key()
            groups.setdefault(_place(score), []).append(score)
        prompts = sorted({score.prompt for group in groups.values() for score in group if score.prompt is not None})
        places = {prompt: i for i, prompt in enumerate(prompts)}
        return cls(prompts, [_block(groups[place], places) for place in sorted(groups)])

    def lines(self) -> Iterator[str]:
        yield text({"prompts": self.prompts})
        yield from (block.line() for block in self.blocks)

    def scores(self) -> list[Score]:
        """All scores in key order."""
        return sorted((score for block in self.blocks for score in block.scores(self.prompts)), key=Score.key)


def _place(score: Score) -> tuple[Any, ...]:
    """What the scores of a block have in common, in the order in which blocks stand."""
    head = (score.arm, score.setting, score.train_seed, score.sample_seed, score.judge)
    return (*head, score.prompt is not None, tuple(sorted(score.values)))


def _block(scores: Sequence[Score], places: Mapping[str, int]) -> Block:
    """One block of scores that have the same `_place`, sorted by prompt."""
    one = scores[0]
    prompts = [places[score.prompt] for score in scores if score.prompt is not None]
    values = {part: [known(score, part, score.values[part]) for score in scores] for part in sorted(one.values)}
    weights = [finite(score, "weight", score.weight) for score in scores]
    notes = [score.note for score in scores]
    return Block(
        one.arm,
        one.setting,
        int(one.train_seed),
        int(one.sample_seed),
        one.judge,
        None if one.prompt is None else prompts,
        values,
        weights if set(weights) != {1.0} else None,
        notes if any(notes) else None,
    )


def known(score: Score, part: str, value: float | None) -> float | None:
    """`value` as it may be written. Raises ValueError for what is not finite, or is missing without a note."""
    if value is not None:
        return finite(score, part, value)
    if not score.note:
        raise ValueError(f"{_where(score, part)}: a missing value needs a note that says why")
    return None


def finite(score: Score, part: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(
            f"{_where(score, part)}: got {float(value)}, a value is finite; give None where nothing could be judged"
        )
    return float(value)


def _where(score: Score, part: str) -> str:
    return f"judge {score.judge!r}, part {part!r}, arm {score.arm!r}, prompt {score.prompt!r}"


# ------------------------------------------------------------------------------------------------------------------ lines


def text(row: Mapping[str, Any]) -> str:
    """The one line that says `row`: sorted keys, no spaces, full precision."""
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def parsed(line: str) -> dict[str, Any]:
    """The inverse of `text`. Raises ValueError for what is not an object, and for NaN."""
    row = json.loads(line, parse_constant=_refuse_constant)
    if not isinstance(row, dict):
        raise ValueError(f"a row is an object, got {type(row).__name__}")
    return row


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"a value is a finite number or null, got {name}")


def scored(line: str) -> dict[str, Any]:
    """What a line says of one score or of a block of them, which have the same fields. Raises ValueError where one is amiss."""
    row = parsed(line)
    for name, kind in _NEEDED.items():
        if type(row.get(name)) is not kind:
            raise ValueError(f"a row has {name!r}: {kind.__name__}, got {row.get(name)!r}")
    return row


def prompts(line: str) -> list[str]:
    """The prompts of a table, from its first line. Raises ValueError for any other line."""
    row = parsed(line)
    ids = row.get("prompts")
    if row.keys() != {"prompts"} or type(ids) is not list or not {type(name) for name in ids} <= _TEXT:
        raise ValueError('the first line lists the prompts: {"prompts": [ids …]}')
    if ids != sorted(set(ids)):
        raise ValueError("the first line lists the prompts sorted, each once")
    return ids


def block(line: str, count: int) -> Block:
    """A block of a table of `count` prompts. Raises ValueError or TypeError for what `Block.line` would not write."""
    row = scored(line)
    found = Block(**row)
    if found.prompts is not None:
        _check_places(found.prompts, count)
    if "weights" in row:
        _check_column("'weights'", found.weights, found.rows, _NUMBER)
    if "notes" in row:
        _check_column("'notes'", found.notes, found.rows, _TEXT)
    for part, column in found.values.items():
        _check_column(f"part {part!r}", column, found.rows, _NUMBER_OR_NULL)
        _check_nulls(f"part {part!r}", column, found.notes)
    return found


def _check_places(places: object, count: int) -> None:
    if not isinstance(places, list) or {type(place) for place in places} != {int} or places != sorted(set(places)):
        raise ValueError("'prompts' are places in the first line, rising, each once; or null for a set")
    if places[0] < 0 or places[-1] >= count:
        raise ValueError(f"'prompts' are places below {count} in the first line, got {places[0]} to {places[-1]}")


def _check_column(name: str, column: object, rows: int, kinds: set[type]) -> None:
    if not isinstance(column, list) or len(column) != rows:
        raise ValueError(f"{name} has one entry for each of {rows} scores, got {_short(column)}")
    if odd := {type(entry) for entry in column} - kinds:
        raise ValueError(f"{name} holds {' or '.join(sorted(k.__name__ for k in kinds))}, got {odd.pop().__name__}")
    if not _INFINITE.isdisjoint(column):
        raise ValueError(f"{name}: a value is finite, got one beyond a float64")


def _short(column: object) -> str:
    return f"{len(column)}" if isinstance(column, list) else type(column).__name__


def _check_nulls(name: str, column: Sequence[float | None], notes: Sequence[str] | None) -> None:
    if None in column and not all(notes and notes[i] for i, value in enumerate(column) if value is None):
        raise ValueError(f"{name} holds a null without a note that says why")


def check_once(found: Block, prompts: Sequence[str], taken: dict[tuple[Any, ...], set[str]]) -> None:
    """Adds the block's scores to `taken`, the prompts of each judge so far. Raises ValueError where one was there already."""
    ids = {prompt or "" for prompt in found.ids(prompts)}
    key = (found.arm, found.setting, found.train_seed, found.sample_seed, found.judge)
    before = taken.setdefault(key, set())
    if twice := before & ids:
        raise ValueError(f"{found.judge!r} of arm {found.arm!r} scores the prompt {min(twice)!r} a second time")
    before |= ids
