"""Which dimensions there are: the official names, each found in the file of its name. A file that exists is one that exists."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from pathlib import Path

from salt_bench.errors import WrongUse
from salt_bench.judges.vbench.base import Dimension, Pass

OFFICIAL = (
    "subject_consistency",
    "background_consistency",
    "temporal_flickering",
    "motion_smoothness",
    "dynamic_degree",
    "aesthetic_quality",
    "imaging_quality",
    "object_class",
    "multiple_objects",
    "human_action",
    "color",
    "spatial_relationship",
    "scene",
    "appearance_style",
    "temporal_style",
    "overall_consistency",
)
BESIDE = ("static_filter",)
"""Not one of the sixteen, but judged like them."""


def available() -> list[str]:
    """The official dimensions that this installation can judge, in the official order."""
    return [name for name in OFFICIAL if _file(name).is_file()]


def every() -> list[str]:
    """All that can be asked for by name."""
    return [*available(), *BESIDE]


def usual() -> list[str]:
    """Those that run when none is named: the licence of the others' weights forbids commercial use."""
    return [name for name in available() if find(name).commercial]


def check(names: Iterable[str]) -> None:
    """Raises WrongUse for a name that is none, with the near one."""
    there = every()
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
            raise WrongUse(f"no dimension {name!r}: {hint}")


def find(name: str) -> Dimension:
    """The dimension called `name`."""
    module = importlib.import_module(f"salt_bench.judges.vbench.{name}")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Dimension)]
    return next(kind() for kind in kinds if kind is not Dimension and kind.name == name)


def passes(names: Iterable[str]) -> list[type[Pass]]:
    """The distinct passes of these dimensions, in order of first use."""
    return list(dict.fromkeys(kind for name in names for kind in find(name).passes))


def order(name: str) -> int:
    """Where a dimension stands in tables."""
    return (*OFFICIAL, *BESIDE).index(name)


def _file(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.py")
