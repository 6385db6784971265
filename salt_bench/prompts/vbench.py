"""VBench's prompts (arXiv 2311.17982): 946 rows in eleven groups, 944 different prompts, sixteen dimensions.

Two prompts stand in two groups, appearance_style's and overall_consistency's, and are answered by the same videos.

They are other people's, Apache-2.0, and do not ship with this package: `salt-bench data vbench` gets them. `own` is a handful
of our own, in the same format, for tests and for trying things out; its scores mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from salt_bench.errors import UserError
from salt_bench.prompts import data
from salt_bench.prompts.base import Asked, Entry, Size, Suite, by_dimensions, entries, text_of, thinned

NAME = "vbench"
OWN = Path(__file__).with_name("own_prompts.json")
FOLDERS = {
    "motion_smoothness": "subject_consistency",
    "dynamic_degree": "subject_consistency",
    "aesthetic_quality": "overall_consistency",
    "imaging_quality": "overall_consistency",
    "background_consistency": "scene",
}
"""Dimension → the folder of its videos, where they are kept by dimension; the dimension's own name for all others."""


def suite(size: Size = Size.full, path: Path | None = None) -> Suite:
    """The suite from an info file, plain or gzipped, or a folder of the data; from the cache where `path` is None."""
    return thinned(read(data.find(data.VBENCH, path)), size, by_dimensions, step=2)


def own() -> Suite:
    """Our own few prompts, one or more for each dimension and each kind of auxiliary information."""
    return replace(read(OWN), name="own")


def read(path: Path) -> Suite:
    """One info file. UserError where it is none."""
    return Suite(NAME, tuple(_asked(row) for row in entries(path)))


def _asked(row: Entry) -> Asked:
    return Asked(row["prompt_en"], tuple(row["dimension"]), {key: unwrapped(key, v) for key, v in _auxiliary(row).items()})


def _auxiliary(row: Entry) -> Entry:
    found = row.get("auxiliary_info") or {}
    return found if isinstance(found, dict) else {}


def unwrapped(dimension: str, value: Entry) -> Entry:
    """What a dimension is told, without the name that scene and spatial_relationship repeat: {"scene": "alley"}."""
    inner = value.get(dimension)
    return inner if isinstance(inner, dict) else value


def augmented(asked: Suite, path: Path) -> Suite:
    """The suite with what a model is given from a file of rewritten prompts, one line for each row. Videos keep the names, and
    dimensions keep the texts, of the originals. UserError where the lines are not as many as the rows."""
    lines = text_of(path).removesuffix("\n").split("\n")
    if len(lines) != len(asked.rows):
        raise UserError(f"{path} has {len(lines)} lines for {len(asked.rows)} prompts: each needs its own, take the full suite")
    if empty := [number for number, line in enumerate(lines, 1) if not line.strip()]:
        raise UserError(f"{path} line {empty[0]} is empty: each prompt needs its line")
    name = f"{asked.name}+{path.name.removesuffix('.gz').removesuffix('.txt')}"
    rows = tuple(replace(row, said=line.strip("\r")) for row, line in zip(asked.rows, lines, strict=True))
    return replace(asked, name=name, rows=rows)


def augmented_suite(size: Size = Size.full, path: Path | None = None) -> Suite:
    """The suite with the prompts that were rewritten for Wan 2.1, which scored its published rows."""
    whole = augmented(read(data.find(data.VBENCH, path)), data.find(data.WAN, path))
    return thinned(whole, size, by_dimensions, step=2)


def folders(dimension: str) -> Sequence[str]:
    """Where a dimension's videos may lie inside a folder: right there, or in the folder of their group."""
    return ("", FOLDERS.get(dimension, dimension))
