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
I2V = ("i2v_subject", *OFFICIAL[:7])
"""Those of VBench-I2V that are judged here."""
ELSEWHERE = ("camera_motion", "i2v_background")
"""VBench-I2V's others."""
SUITES = {"vbench": OFFICIAL, "vbench_i2v": I2V, "vbench_long": OFFICIAL}


def available(suite: str = "vbench") -> list[str]:
    """The official dimensions of a suite that this installation can judge, in the official order."""
    return [name for name in SUITES[suite] if _file(name).is_file()]


def every(suite: str = "vbench") -> list[str]:
    """All that can be asked for by name."""
    return [*available(suite), *BESIDE] if suite == "vbench" else available(suite)


def known() -> list[str]:
    """All, whatever the suite."""
    return list(dict.fromkeys(name for suite in SUITES for name in every(suite)))


def usual(suite: str = "vbench") -> list[str]:
    """Those that run when none is named: the licence of the others' weights forbids commercial use."""
    return [name for name in available(suite) if find(name).commercial]


def check(names: Iterable[str], suite: str = "vbench") -> None:
    """Raises WrongUse for a name that is none of the suite's, with the near one."""
    there = every(suite)
    for name in names:
        if name in ELSEWHERE and suite == "vbench_i2v":
            raise WrongUse(f"{name} is not judged here: give its official result to `salt-bench total --benchmark {suite}`")
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
            raise WrongUse(f"no dimension {name!r} of {suite}: {hint}")


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
    return (*I2V[:1], *OFFICIAL, *BESIDE).index(name)


def _file(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.py")
