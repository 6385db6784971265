"""Frozen dataclasses to JSON and back, what their fields may hold, and the fingerprint that names a run's folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_OURS = ("salt_bench", "salt_train")


def added(default: Any, kw_only: bool = False) -> Any:
    """A dataclass field that came later: records leave it out while it has its default, so that what was made before it came
    keeps its fingerprint. The default must never change."""
    return dataclasses.field(default=default, metadata={"added": True}, kw_only=kw_only)


def dump(value: Any) -> Any:
    """`value` as JSON types. A dataclass becomes an object whose key `type` names its class; sets are sorted."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        cls = type(value)
        said = [f for f in dataclasses.fields(value) if "added" not in f.metadata or getattr(value, f.name) != f.default]
        fields = {f.name: dump(getattr(value, f.name)) for f in said}
        return {"type": f"{cls.__module__}:{cls.__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {str(k): dump(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(dump(v) for v in value)
    if isinstance(value, (list, tuple)):
        return [dump(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a record holds JSON types and dataclasses, got {type(value).__name__}: {value!r}")


def load(data: Any) -> Any:
    """The inverse of `dump`: lists come back as tuples. Only classes of this project are built; others are refused by name, and
    so is a field whose value is not of its type."""
    if isinstance(data, list):
        return tuple(load(v) for v in data)
    if isinstance(data, dict) and "type" in data:
        cls = _class(data["type"])
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(data) - names - {"type"})
        if unknown:
            raise ValueError(f"{data['type']} has no field {', '.join(unknown)}; its fields are {', '.join(sorted(names))}")
        values = {k: load(v) for k, v in data.items() if k != "type"}
        for name, value in values.items():
            if not fits(value, hint := _types(cls).get(name, Any)):
                raise ValueError(f"`{name}` of {cls.__name__} is {in_words(hint)}, got {value!r}")
        return cls(**values)
    if isinstance(data, dict):
        return {k: load(v) for k, v in data.items()}
    return data


@cache
def _types(cls: type) -> dict[str, Any]:
    """The types of its fields; none where one of them is known to type checkers alone."""
    try:
        return get_type_hints(cls)
    except NameError:
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the type `hint`, as records have them. A whole number is a float too, and numbers are
    finite; a truth value is none."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple and isinstance(value, tuple):
        inside = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(inside) == len(value) and all(map(fits, value, inside))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool) and -math.inf < value < math.inf
    kind = origin or hint
    if kind is frozenset:
        return isinstance(value, (tuple, frozenset))  # in JSON a set is a list
    return kind is Any or not isinstance(kind, type) or isinstance(value, kind)


def in_words(hint: Any) -> str:
    """A type as an error names it: int | None."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("collections.abc.", "")


def at_least(record: Any, **bounds: float) -> None:
    """Raises ValueError where a field of `record` is below its bound; None is no number."""
    for name, bound in bounds.items():
        value = getattr(record, name)
        if value is not None and not value >= bound:
            raise ValueError(f"`{name}` is {bound} or more, got {value!r}")


def positive(record: Any, *names: str) -> None:
    """Raises ValueError where one of these fields of `record` is not above 0."""
    for name in names:
        if not (value := getattr(record, name)) > 0:
            raise ValueError(f"`{name}` is above 0, got {value!r}")


def shares(record: Any, *names: str) -> None:
    """Raises ValueError where one of these fields of `record` is not between 0 and 1."""
    for name in names:
        if not 0 <= (value := getattr(record, name)) <= 1:
            raise ValueError(f"`{name}` is a share, from 0 to 1, got {value!r}")


def _class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if module.split(".")[0] not in _OURS:
        raise ValueError(f"a record may only name classes of {' and '.join(_OURS)}, got {name!r}")
    try:
        cls = getattr(importlib.import_module(module), qualname)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"no class {name!r} in this version: {error}") from None
    if not dataclasses.is_dataclass(cls):
        raise ValueError(f"{name!r} is not a record")
    return cls


def text(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, NaN refused."""
    return json.dumps(dump(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def joined(texts: Mapping[str, str]) -> str:
    """The canonical JSON of an object whose values are in canonical JSON already: what many objects share is said once."""
    return "{" + ",".join(f"{text(name)}:{texts[name]}" for name in sorted(texts)) + "}"


def fingerprint(value: Any) -> str:
    """Twelve hexadecimal digits that name `value`: equal records, and only those, share it (SHA-256 of the canonical JSON)."""
    return digest(text(value))


def digest(canonical: str) -> str:
    """The fingerprint of what has this canonical JSON."""
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
