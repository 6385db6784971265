"""The suite's rows, the names of its videos, and the scores of a set: the least that `judge` needs of them.

A stand-in: `salt_bench.prompts` (suite, names) and `salt_bench.composites` (normalised totals) take its place.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salt_bench.errors import WrongUse

_SUITE = "VBench_full_info.json"


@dataclass(frozen=True)
class Asked:
    """A prompt of the suite: the dimensions that ask for it, how often each, and its auxiliary data."""

    text: str
    dimensions: dict[str, int] = field(default_factory=dict)
    auxiliary: dict[str, Any] = field(default_factory=dict)


def suite(folder: Path) -> dict[str, Asked]:
    """The prompts of VBench's own list, which lies beside the weights. Raises WrongUse where it does not."""
    found = [path for path in (folder / _SUITE, folder / f"{_SUITE}.gz") if path.is_file()]
    if not found:
        hint = "take it from the vbench 0.1.5 wheel, or use --mode custom"
        raise WrongUse(f"--mode standard needs the suite's prompts in {folder / _SUITE} (or .gz): {hint}")
    data = found[0].read_bytes()
    asked: dict[str, Asked] = {}
    for row in json.loads(gzip.decompress(data) if found[0].suffix == ".gz" else data):
        one = asked.setdefault(row["prompt_en"], Asked(row["prompt_en"]))
        one.auxiliary.update(row.get("auxiliary_info", {}))
        for name in row["dimension"]:
            one.dimensions[name] = one.dimensions.get(name, 0) + 1
    return asked


def split_name(stem: str) -> tuple[str, int]:
    """The prompt and the index in a file name without its extension: "a cat-3" is sample 3 of "a cat"; 0 where none is said."""
    match = re.fullmatch(r"(.*)-(\d+)", stem, re.DOTALL)
    return (match[1], int(match[2])) if match else (stem, 0)


def summarise(rows: Iterable[Mapping[str, Any]], protocol: Mapping[str, Any], scales: Mapping[str, float]) -> dict[str, Any]:
    """Each dimension's score over the set: `scales` times the weighted mean of its values; None where it has none."""
    sums = dict.fromkeys(scales, (0.0, 0.0))
    for row in rows:
        if row["value"] is not None:
            name = row["judge"].removeprefix("vbench/")
            top, bottom = sums[name]
            sums[name] = (top + row["weight"] * row["value"], bottom + row["weight"])
    scores = {name: scales[name] * top / bottom if bottom else None for name, (top, bottom) in sums.items()}
    return {"dimensions": scores, "quality": None, "semantic": None, "total": None, "protocol": dict(protocol)}
