"""Scores on disk: one line for a score, one shard per cell, all shards merged into one table, read back as a long data frame.

Values are kept at full precision (the shortest text that reads back to the same float64). The bytes of a merged table depend on
the scores alone, not on who measured what, when, or in which order; `dense` says what its lines are. Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench import dense, files, long
from salt_bench.dense import Block, Dense
from salt_bench.errors import UserError, WrongUse
from salt_bench.types import Score

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = long.COLUMNS


class Corrupt(UserError):
    """A file of results that is not what was written; the message names the file, and the line where there is one."""


def dumps(score: Score) -> str:
    """The one line that says `score`: sorted keys, no spaces, full precision. Raises ValueError for NaN, infinity, or a
    value that is missing without a note."""
    row: dict[str, Any] = {
        "arm": score.arm,
        "setting": score.setting,
        "train_seed": int(score.train_seed),
        "prompt": score.prompt,
        "sample_seed": int(score.sample_seed),
        "judge": score.judge,
        "values": {part: dense.known(score, part, value) for part, value in score.values.items()},
    }
    if score.weight != 1:
        row["weight"] = dense.finite(score, "weight", score.weight)
    if score.note:
        row["note"] = score.note
    return dense.text(row)


def loads(line: str) -> Score:
    """The inverse of `dumps`. Raises ValueError for anything that `dumps` would not write."""
    return Score(**dense.scored(line))


@dataclass(frozen=True)
class Shard:
    """What one cell measured: a header (what it was measured on) and its canonical lines in key order."""

    path: Path
    header: Mapping[str, Any]
    lines: tuple[str, ...]


def write_shard(path: Path, header: Mapping[str, Any], scores: Iterable[Score]) -> None:
    """Writes one cell's scores atomically, under a first line that holds `header`, their number and their digest."""
    lines = [dumps(score) for score in sorted(scores, key=Score.key)]
    first = {"header": dict(header), "rows": len(lines), "sha256": _digest(lines)}
    files.write_text(path, "\n".join([json.dumps(first, sort_keys=True, separators=(",", ":")), *lines]) + "\n")


def read_shard(path: Path) -> Shard:
    """Reads a shard and checks it against its own digest; raises Corrupt where it was truncated or changed."""
    try:
        first, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        head = json.loads(first)
        if (head["rows"], head["sha256"]) != (len(lines), _digest(lines)):
            raise ValueError(f"{head['rows']} rows were written, {len(lines)} are there or their digest differs")
        return Shard(path, head["header"], tuple(lines))
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{path} is damaged ({error}); run the study again and this cell is measured anew") from error


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def merge(shards: Iterable[Path], out: Path) -> int:
    """Merges shards into the table `out`, atomically; the number of scores. Raises UserError for a key that comes twice."""
    rows: dict[tuple[Any, ...], tuple[Path, Score]] = {}
    for path in shards:
        for score in map(loads, read_shard(path).lines):
            if score.key() in rows:
                both = f"{rows[score.key()][0]} and {path}"
                raise UserError(f"two rows have the key {score.key()}, in {both}: remove the shard that does not belong")
            rows[score.key()] = (path, score)
    write(out, (score for _, score in rows.values()))
    return len(rows)


def write(path: Path, scores: Iterable[Score]) -> None:
    """Writes a table, atomically. Raises ValueError for a key that comes twice and for what `dumps` refuses."""
    files.write_text(path, "".join(line + "\n" for line in Dense.of(scores).lines()))


def read(path: Path) -> list[Score]:
    """The scores of a table, in key order. Raises Corrupt with file and line for what `write` would not write, WrongUse for a
    missing file."""
    return _dense(path).scores()


def _dense(path: Path) -> Dense:
    if not path.is_file():
        raise WrongUse(f"no table {path}: give the folder of a finished study, or run the study first")
    first, *rest = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    with _at(path, 1):
        prompts = dense.prompts(first)
    blocks: list[Block] = []
    taken: dict[tuple[Any, ...], set[str]] = {}
    for number, line in enumerate(rest, start=2):
        with _at(path, number):
            blocks.append(dense.block(line, len(prompts)))
            dense.check_once(blocks[-1], prompts, taken)
    return Dense(prompts, blocks)


@contextmanager
def _at(path: Path, number: int) -> Iterator[None]:
    """Turns what is wrong with a line into a Corrupt that names it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Corrupt(f"{path}:{number} is damaged ({error}); restore the file or publish the study again") from error


def load(folder: Path | str) -> pd.DataFrame:
    """The table of `folder`/scores.jsonl in long form; see `long.frame`. Raises as `read` does."""
    return long.frame(_dense(Path(folder) / "scores.jsonl"))


def frame(scores: Iterable[Score]) -> pd.DataFrame:
    """Scores in long form, in key order; see `long.frame`."""
    return long.frame(Dense.of(scores))
