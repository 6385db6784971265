"""A table of scores as a long data frame, one row per part: made by the column, since a study has a million of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from salt_bench.dense import Block, Dense

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("arm", "setting", "train_seed", "prompt", "sample_seed", "judge", "part", "value", "weight", "note")

_ROW = np.dtype([("block", int), ("prompt", int), ("part", int), ("value", float), ("weight", float), ("note", int)])
"""A row of the frame, names as their places."""


def frame(table: Dense) -> pd.DataFrame:
    """The columns of COLUMNS; rows in the order of the scores' keys, then of the parts' names. `prompt` is "" for a set,
    `value` NaN where nothing could be judged."""
    import pandas as pd

    blocks, names = table.blocks, _Names.of(table)
    rows = np.concatenate([np.empty(0, _ROW), *(_rows(i, block, table, names) for i, block in enumerate(blocks))])
    rows = rows[_order(blocks, rows)]
    at = rows["block"]
    columns = {
        "arm": _texts([block.arm for block in blocks], at),
        "setting": _texts([block.setting for block in blocks], at),
        "train_seed": np.array([block.train_seed for block in blocks], dtype=int)[at],
        "prompt": _texts(names.prompts, rows["prompt"]),
        "sample_seed": np.array([block.sample_seed for block in blocks], dtype=int)[at],
        "judge": _texts([block.judge for block in blocks], at),
        "part": _texts(names.parts, rows["part"]),
        "value": rows["value"],
        "weight": rows["weight"],
        "note": _texts(names.notes, rows["note"]),
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))


@dataclass(frozen=True)
class _Names:
    """Every text of a table's rows → its place in sorted order."""

    prompts: dict[str, int]
    parts: dict[str, int]
    notes: dict[str, int]

    @classmethod
    def of(cls, table: Dense) -> _Names:
        parts = (part for block in table.blocks for part in block.values)
        notes = (note for block in table.blocks for note in block.notes or ())
        return cls(_places(("", *table.prompts)), _places(parts), _places(("", *notes)))


def _places(names: Iterable[Any]) -> dict[Any, int]:
    return {name: i for i, name in enumerate(sorted(set(names)))}


def _rows(number: int, block: Block, table: Dense, names: _Names) -> np.ndarray:
    """The rows of one block, score by score and part by part."""
    parts = sorted(block.values)
    rows = np.empty((block.rows, len(parts)), _ROW)
    rows["block"] = number
    rows["prompt"] = np.array([names.prompts[prompt or ""] for prompt in block.ids(table.prompts)])[:, None]
    rows["part"] = [names.parts[part] for part in parts]
    rows["value"] = np.array([block.values[part] for part in parts], dtype=float).reshape(len(parts), block.rows).T
    rows["weight"] = 1.0 if block.weights is None else np.array(block.weights)[:, None]
    rows["note"] = names.notes[""] if block.notes is None else np.array([names.notes[note] for note in block.notes])[:, None]
    return rows.ravel()


def _order(blocks: Sequence[Block], rows: np.ndarray) -> np.ndarray:
    """Which row comes when: `Score.key` as one number, for all but its prompt is the same in a whole block."""
    heads = [(block.arm, block.setting, block.train_seed) for block in blocks]
    tails = [(block.sample_seed, block.judge) for block in blocks]
    head, tail = (_ranks(keys) for keys in (heads, tails))
    prompts, last = rows["prompt"].max(initial=0) + 1, tail.max(initial=0) + 1
    return np.argsort((head[rows["block"]] * prompts + rows["prompt"]) * last + tail[rows["block"]], kind="stable")


def _ranks(keys: Sequence[Any]) -> np.ndarray:
    places = _places(keys)
    return np.array([places[key] for key in keys], dtype=int)


def _texts(names: Iterable[str], places: np.ndarray) -> Any:
    """names[places], in the frame's own type of text, which takes many from few far faster than it makes them."""
    import pandas as pd

    return pd.Series(list(names), dtype="str").array.take(places)
