"""What there is: judges, probes, worlds, ablations … found in their folders. A file that exists is a file that counts."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from salt_bench.errors import WrongUse

if TYPE_CHECKING:
    from salt_bench.judges.base import Judge
    from salt_bench.types import Arm

KINDS = ("setjudges", "probes", "worlds", "samplers")
SOURCES = "salt_bench.sources"


def listing(root: Path) -> dict[str, dict[str, str]]:
    """kind → name → one line about it. Imports the bench's own modules and nothing else."""
    from salt_bench.judges.vbench import dimensions

    found = {"judges": _described(judges())}
    found["VBench dimensions"] = _described({name: type(dimensions.find(name)) for name in dimensions.known()})
    found |= {kind: _described(_classes(f"salt_bench.{kind}")) for kind in KINDS}
    found["sources"] = {source.name: source.value for source in metadata.entry_points(group=SOURCES)}
    found["ablations"] = {str(p.relative_to(root)): _headline(p) for p in sorted((root / "ablations").glob("[!_]*.py"))}
    return found


def arm(word: str) -> Arm:
    """The arm that a word on the command line stands for, from the entry points of "salt_bench.sources": each of them says None
    to a word that is not its own.

    Raises WrongUse where nobody knows the word."""
    sources, absent = metadata.entry_points(group=SOURCES), []
    for source in sources:
        try:
            found = source.load()(word)
        except ModuleNotFoundError as error:
            if error.name != source.module.split(".")[0]:
                raise
            absent.append(source.name)
            continue
        if found is not None:
            return found
    there = ", ".join(sorted(source.name for source in sources if source.name not in absent)) or "none"
    missing = f"; {', '.join(sorted(absent))}: install salt_train, which knows them" if absent else ""
    raise WrongUse(f"no arm {word!r}; sources: {there}{missing}")


def judges() -> dict[str, type[Judge]]:
    """Name → judge, of all that there are."""
    from salt_bench.judges.base import Judge

    return {cls.name: cls for cls in _members("salt_bench.judges") if issubclass(cls, Judge) and "name" in vars(cls)}


def judge(name: str) -> Judge:
    """The judge of that name, at its defaults. Raises WrongUse where there is none, or it has no defaults."""
    from salt_bench.study import near

    known = judges()
    if name not in known:
        raise WrongUse(f"no judge {name!r}{near(name, known) or '; there are ' + ', '.join(sorted(known))}")
    try:
        return known[name]()
    except TypeError as error:
        raise WrongUse(f"the judge {name!r} needs to be told more than its name ({error})") from None


def _described(classes: Mapping[str, type]) -> dict[str, str]:
    """name → the first sentence of its docstring."""
    texts = {name: " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split()) for name, cls in sorted(classes.items())}
    return {name: re.split(r"(?<=[.?!]) (?=[^a-z])", text, maxsplit=1)[0] for name, text in texts.items()}


def _classes(package: str) -> dict[str, type]:
    """Every class with a name of its own (`name = "…"`), or, in samplers, every arm, that a module of `package` defines."""
    ours = _members(package)
    named = {c.__dict__["name"]: c for c in ours if isinstance(c.__dict__.get("name"), str)}
    arms = {c.__name__: c for c in ours if hasattr(c, "prepare") and hasattr(c, "sampler")}
    return named | arms


def _members(package: str) -> list[type]:
    """Every concrete class that a module of `package` defines."""
    modules = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    classes = [c for m in modules for c in vars(importlib.import_module(m.name)).values() if inspect.isclass(c)]
    return [c for c in classes if c.__module__.startswith(package) and not inspect.isabstract(c)]


def _headline(path: Path) -> str:
    try:
        return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    except SyntaxError as error:
        return f"does not parse: {error}"
