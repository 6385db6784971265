"""Frozen dataclasses to JSON and back, and the fingerprint that names a run's folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Any

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
    """The inverse of `dump`: lists come back as tuples. Only classes of this project are built; others are refused by name."""
    if isinstance(data, list):
        return tuple(load(v) for v in data)
    if isinstance(data, dict) and "type" in data:
        cls = _class(data["type"])
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(data) - names - {"type"})
        if unknown:
            raise ValueError(f"{data['type']} has no field {', '.join(unknown)}; its fields are {', '.join(sorted(names))}")
        return cls(**{k: load(v) for k, v in data.items() if k != "type"})
    if isinstance(data, dict):
        return {k: load(v) for k, v in data.items()}
    return data


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
