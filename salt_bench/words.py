"""Settings as they stand on a command line, NAME=VALUE, read into a dataclass: the options of an executor or of an arm."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

from salt_bench.errors import WrongUse

T = TypeVar("T")
_BESIDE = "@"
"""Between a name and its settings, as in `diffusers:FOLDER@steps=4,guidance=1`."""


def split(word: str) -> tuple[str, tuple[str, ...]]:
    """ "NAME@a=1,b=2" as NAME and its settings. What follows the last "@" counts where a "=" is in it."""
    name, beside, rest = word.rpartition(_BESIDE)
    return (name, tuple(rest.split(","))) if beside and "=" in rest else (word, ())


def parsed(kind: type[T], settings: Sequence[str]) -> T:
    """A `kind`, a dataclass whose fields all have defaults, from texts NAME=VALUE; a value is of the type of its field.

    Raises WrongUse, with the near name, for any other text."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    types, values = typing.get_type_hints(kind), {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if name not in defaults or not sign:
            raise WrongUse(f"an option is NAME=VALUE, one of {_known(defaults)}; got {setting!r}{_near(name, defaults)}")
        values[name] = _as(_plain(types[name]), name, value)
    try:
        return kind(**values)
    except ValueError as error:
        raise WrongUse(str(error)) from None


def _known(defaults: dict[str, Any]) -> str:
    return ", ".join(f"{name}={'…' if default is None or default == '' else default}" for name, default in defaults.items())


def _near(name: str, known: dict[str, Any]) -> str:
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]}?" if found and found[0] != name else ""


def _plain(hint: Any) -> Any:
    """The type itself, also where it may be None."""
    return next((kind for kind in typing.get_args(hint) if kind is not type(None)), hint)


def _as(kind: Any, name: str, value: str) -> object:
    try:
        return kind(value)
    except ValueError:
        raise WrongUse(f"the option {name} is of type {kind.__name__}, got {value!r}") from None
