"""An executor by its name, with its options as they stand on a command line: NAME=VALUE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salt_bench.errors import WrongUse
from salt_bench.executors.base import Executor
from salt_bench.words import parsed


def make(name: str, jobs: int | None, logs: Path, options: Sequence[str]) -> Executor:
    """The executor `name`, which measures at most `jobs` cells at once (None: as many as it has room for)."""
    if name == "ray":
        from salt_bench.executors.ray import Ray, RayOptions

        return Ray(jobs, logs, parsed(RayOptions, options))
    if name == "slurm":
        from salt_bench.executors.slurm import Slurm, SlurmOptions

        return Slurm(jobs, logs, parsed(SlurmOptions, options))
    if options:
        raise WrongUse(f"the executor {name} takes no options, got {options[0]!r}: leave --option out")
    return _here(name, jobs, logs)


def _here(name: str, jobs: int | None, logs: Path) -> Executor:
    if name == "inline":
        from salt_bench.executors.inline import Inline

        return Inline()
    from salt_bench.executors.local import Local

    return Local(jobs, logs)
