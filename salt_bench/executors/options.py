"""An executor by its name, with its options as they stand on a command line: NAME=VALUE."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from salt_bench.errors import WrongUse
from salt_bench.executors.base import Executor

T = TypeVar("T")


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


def parsed(kind: type[T], options: Sequence[str]) -> T:
    """A `kind`, a dataclass whose fields all have defaults, from texts NAME=VALUE; a value is of the type of its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {}
    for option in options:
        name, _, value = option.partition("=")
        if name not in defaults or "=" not in option:
            known = ", ".join(f"{known}={default}" for known, default in defaults.items())
            raise WrongUse(f"an option is NAME=VALUE, one of {known}; got {option!r}")
        values[name] = _as(type(defaults[name]), name, value)
    return kind(**values)


def _as(kind: type, name: str, value: str) -> object:
    try:
        return kind(value)
    except ValueError:
        raise WrongUse(f"the option {name} is of type {kind.__name__}, got {value!r}") from None
