"""The rows of the simulation, as they are committed: reports/statistics/table.jsonl."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from salt_bench import files

FILE = "table.jsonl"
DIGITS = 6
"""Decimals that are kept: beyond them, machines disagree."""


@dataclass(frozen=True)
class Coverage:
    """How often the 95% `interval` held the truth in `repetitions` studies of `seeds` × `prompts`, on judges whose `data` are
    of some kind and whose training seeds vary by `variance`, as a multiple of the residual's.

    `above`: how often the truth lay above it; `width`: the mean width, as a multiple of that of an interval which knows the
    standard error of its estimate."""

    interval: str
    data: str
    seeds: int
    prompts: int
    variance: float
    coverage: float
    above: float
    width: float
    repetitions: int


@dataclass(frozen=True)
class Rates:
    """What the gate said in `repetitions` checks of `judges` judges on `seeds` × `prompts`, whose paired differences are
    `width` margins wide, when `losers` of them had truly lost `lost` margins and the others nothing: the shares of each
    verdict, and the mean share of prompts `used`."""

    mode: str
    data: str
    seeds: int
    prompts: int
    width: float
    judges: int
    losers: int
    lost: float
    regression: float
    passed: float
    inconclusive: float
    used: float
    repetitions: int


Row = Coverage | Rates
_KINDS: dict[str, type[Coverage] | type[Rates]] = {"coverage": Coverage, "rates": Rates}


def write(folder: Path, rows: Sequence[Row]) -> None:
    """One line of JSON for each row, in their order."""
    files.write_text(folder / FILE, "".join(_line(row) + "\n" for row in rows))


def read(folder: Path) -> list[Row]:
    """ValueError, KeyError or TypeError where a line is none of ours."""
    records = map(json.loads, (folder / FILE).read_text(encoding="utf-8").splitlines())
    return [_KINDS[record.pop("row")](**record) for record in records]


def _line(row: Row) -> str:
    kind = next(name for name, made in _KINDS.items() if isinstance(row, made))
    values = {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in asdict(row).items()}
    return json.dumps({"row": kind, **values}, separators=(",", ":"))
