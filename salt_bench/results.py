"""The table of scores: canonical lines, one shard per cell, merged in key order, read back as a long data frame.

Values are kept at full precision (the shortest text that reads back to the same float64). The bytes of a merged table depend on
the scores alone, not on who measured what, when, or in which order. Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from salt_bench import files
from salt_bench.errors import UserError, WrongUse
from salt_bench.types import Score

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("arm", "setting", "train_seed", "prompt", "sample_seed", "judge", "part", "value", "weight", "note")
_NEEDED = {"arm": str, "setting": str, "train_seed": int, "sample_seed": int, "judge": str, "values": dict}


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
        "values": {part: _checked(score, part, value) for part, value in score.values.items()},
    }
    if score.weight != 1:
        row["weight"] = _checked(score, "weight", score.weight)
    if score.note:
        row["note"] = score.note
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _checked(score: Score, part: str, value: float | None) -> float | None:
    where = f"judge {score.judge!r}, part {part!r}, arm {score.arm!r}, prompt {score.prompt!r}"
    if value is None:
        if score.note:
            return None
        raise ValueError(f"{where}: a missing value needs a note that says why")
    if not math.isfinite(value):
        raise ValueError(f"{where}: got {float(value)}, a value is finite; give None where nothing could be judged")
    return float(value)


def loads(line: str) -> Score:
    """The inverse of `dumps`. Raises ValueError for anything that `dumps` would not write."""
    row = json.loads(line, parse_constant=_refuse_constant)
    if not isinstance(row, dict):
        raise ValueError(f"a row is an object, got {type(row).__name__}")
    for name, kind in _NEEDED.items():
        if not isinstance(row.get(name), kind):
            raise ValueError(f"a row has {name!r}: {kind.__name__}, got {row.get(name)!r}")
    return Score(**row)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"a value is a finite number or null, got {name}")


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
    """Merges shards into `out` in key order, atomically; the number of rows. Raises UserError for a key that comes twice."""
    rows: dict[tuple[Any, ...], tuple[Path, str]] = {}
    for path in shards:
        for line in read_shard(path).lines:
            key = loads(line).key()
            if key in rows:
                both = f"{rows[key][0]} and {path}"
                raise UserError(f"two rows have the key {key}, in {both}: remove the shard that does not belong")
            rows[key] = (path, line)
    files.write_text(out, "".join(rows[key][1] + "\n" for key in sorted(rows)))
    return len(rows)


def read(path: Path) -> list[Score]:
    """The scores of a merged table. Raises Corrupt with file and line for what is not a score, WrongUse for a missing file."""
    if not path.is_file():
        raise WrongUse(f"no table {path}: give the folder of a finished study, or run the study first")
    scores = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n"), start=1):
        try:
            scores.append(loads(line))
        except (ValueError, TypeError) as error:
            raise Corrupt(f"{path}:{number} is not a score ({error}); restore the file or publish the study again") from error
    if len({score.key() for score in scores}) != len(scores):
        raise Corrupt(f"{path} holds a key twice; restore the file or publish the study again")
    return scores


def load(folder: Path | str) -> pd.DataFrame:
    """The table of `folder`/scores.jsonl in long form, one row per part: the columns of COLUMNS, in the file's order, parts
    by name. `prompt` is "" for set judges and `value` NaN where nothing could be judged."""
    return frame(read(Path(folder) / "scores.jsonl"))


def frame(scores: Iterable[Score]) -> pd.DataFrame:
    """Scores in long form; see `load`."""
    import pandas as pd

    rows = [
        (s.arm, s.setting, s.train_seed, s.prompt or "", s.sample_seed, s.judge, part, s.values[part], s.weight, s.note)
        for s in scores
        for part in sorted(s.values)
    ]
    table = pd.DataFrame.from_records(rows, columns=list(COLUMNS))
    return table.astype({"train_seed": int, "sample_seed": int, "value": float, "weight": float})
