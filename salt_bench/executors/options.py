"""An executor by its name, with its options as they stand on a command line: NAME=VALUE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salt_bench.errors import WrongUse
from salt_bench.executors.base import Executor, Width, cores
from salt_bench.words import parsed


@dataclass(frozen=True)
class LocalOptions:
    """`processes` train a cell's model together, one thread each; every other stage is one process's."""

    processes: int = 1


def make(name: str, jobs: int | None, logs: Path, options: Sequence[str]) -> Executor:
    """The executor `name`, which measures at most `jobs` cells at once (None: as many as it has room for)."""
    if name == "ray":
        from salt_bench.executors.ray import Ray, RayOptions

        return Ray(jobs, logs, parsed(RayOptions, options))
    if name == "slurm":
        from salt_bench.executors.slurm import Slurm, SlurmOptions

        return Slurm(jobs, logs, parsed(SlurmOptions, options))
    if name == "inline":
        from salt_bench.executors.inline import Inline

        parsed(LocalOptions, options)
        return Inline()
    from salt_bench.executors.local import Local

    return Local(width(name, jobs, options).cells, logs)


def width(name: str, jobs: int | None, options: Sequence[str]) -> Width:
    """What that executor will hold; nothing is started, and no cluster is asked."""
    if name == "ray":
        from salt_bench.executors.ray import RayOptions

        ray = parsed(RayOptions, options)
        room = cores() // ray.cpus if ray.address == "local" else None
        return Width(jobs or room, ray.gpus, _processes(ray.processes, ray.gpus))
    if name == "slurm":
        from salt_bench.executors.slurm import SlurmOptions

        slurm = parsed(SlurmOptions, options)
        room = cores() if slurm.cluster == "local" else None
        return Width(jobs or room, slurm.gpus, _processes(slurm.processes, slurm.gpus))
    processes = _processes(parsed(LocalOptions, options).processes, 0)
    return Width(1 if name == "inline" else jobs or max(1, cores() // processes), 0.0, processes)


def _processes(asked: int, gpus: float) -> int:
    """How many processes train a cell's model: as many as were asked for, or, where that is 0, one per whole GPU."""
    if asked < 0:
        raise WrongUse(f"processes is at least 1, or 0 for one per GPU, got {asked}")
    return asked or max(1, int(gpus))
