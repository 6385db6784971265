"""A prompt suite as data: what is asked, for which dimensions, and how many videos answer it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from salt_bench import record
from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import names
from salt_bench.types import Prompt

Entry = Mapping[str, Any]


class Size(StrEnum):
    """How much of a suite is asked."""

    smoke = "smoke"
    lite = "lite"
    full = "full"


@dataclass(frozen=True)
class Asked:
    """One row of a suite. `text` names and scores its videos; `said` is what a model is given, the same unless the prompt was
    rewritten for models. `auxiliary`: dimension → what it must know beside the text. `image`: the first frame's file (I2V)."""

    text: str
    dimensions: tuple[str, ...]
    auxiliary: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    said: str = ""
    image: str = ""

    @property
    def prompt(self) -> str:
        """What a model is given."""
        return self.said or self.text


@dataclass(frozen=True)
class Suite:
    """Rows in official order. `samples` videos answer a prompt; `filtered` are made of those that pass a filter of still videos
    first, of which the first `samples` are kept."""

    name: str
    rows: tuple[Asked, ...]
    samples: int = 5
    filtered: int = 25

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension that some row asks for, in order of appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.dimensions))

    def of(self, dimension: str) -> tuple[Asked, ...]:
        """The rows that a dimension asks for. WrongUse for one that nobody asks for."""
        if dimension not in self.dimensions:
            raise WrongUse(f"{self.name} asks nothing for {dimension!r}; its dimensions are {', '.join(self.dimensions)}")
        return tuple(row for row in self.rows if dimension in row.dimensions)

    def only(self, dimensions: Sequence[str]) -> Suite:
        """The rows that one of `dimensions` asks for, each asking for those alone."""
        wanted = {row.text for name in dimensions for row in self.of(name)}
        rows = (replace(r, dimensions=tuple(d for d in r.dimensions if d in dimensions)) for r in self.rows if r.text in wanted)
        return replace(self, rows=tuple(row for row in rows if row.dimensions))

    def prompts(self) -> tuple[Prompt, ...]:
        """Every prompt once, by its original text, tagged with its dimensions; factors hold `said` and `image`, if any.

        Where a prompt stands in two groups of rows, the last one's `said` is given: its video is the one that stays."""
        merged: dict[str, Prompt] = {}
        for row in self.rows:
            beside = {key: value for key, value in (("said", row.said), ("image", row.image)) if value}
            tags = merged[row.text].tags if row.text in merged else frozenset()
            merged[row.text] = Prompt(names.safe_id(row.text), row.text, self.name, beside, tags | set(row.dimensions))
        return tuple(merged.values())

    def fingerprint(self) -> str:
        """Names what is asked and how often: equal suites, and only those, share it."""
        return record.fingerprint([[[r.text, r.prompt, r.image, r.dimensions] for r in self.rows], self.samples, self.filtered])


def thinned(suite: Suite, size: Size, key: Callable[[Asked], Any], step: int) -> Suite:
    """A size of a suite, from the groups of rows that share a `key`, so that every dimension keeps its share.

    full: everything. lite: of each group every `step`-th row, the first included, one video each, chosen among 5 where a filter
    chooses. smoke: the first row of each group, one video, no filter.
    """
    if size is Size.full:
        return suite
    groups: dict[Any, list[Asked]] = {}
    for row in suite.rows:
        groups.setdefault(key(row), []).append(row)
    kept = {id(row) for group in groups.values() for row in (group[::step] if size is Size.lite else group[:1])}
    rows = tuple(row for row in suite.rows if id(row) in kept)
    chosen = size is Size.lite and suite.filtered > suite.samples
    return replace(suite, name=f"{suite.name}-{size}", rows=rows, samples=1, filtered=5 if chosen else 1)


def by_dimensions(row: Asked) -> tuple[str, ...]:
    """What the rows of an official prompt file have in common."""
    return row.dimensions


def text_of(path: Path) -> str:
    """A text file, plain or gzipped. UserError where it is missing or damaged."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"no {path}: get VBench's data with `salt-bench data vbench`") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}): get it again with `salt-bench data vbench`") from None


def entries(path: Path) -> list[Entry]:
    """The rows of an official info file: a list of objects with `prompt_en` and `dimension`. UserError names what is not."""
    try:
        found = json.loads(text_of(path))
    except ValueError as error:
        raise UserError(f"{path} is damaged or no JSON ({error}): get it again with `salt-bench data vbench`") from None
    if not isinstance(found, list) or not found:
        raise UserError(f"{path} is no prompt suite: a suite is a list of rows")
    for number, row in enumerate(found):
        if not (isinstance(row, dict) and isinstance(row.get("prompt_en"), str) and _is_dimensions(row.get("dimension"))):
            raise UserError(f"{path} row {number} has no text 'prompt_en' or no list 'dimension'")
    return found


def _is_dimensions(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
