"""Methods by name: every module here defines a function of its own name that returns a Recipe."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable

from salt_bench.errors import WrongUse
from salt_train.recipe import Recipe


def methods() -> dict[str, Callable[..., Recipe]]:
    """name → function, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: getattr(module, name) for name, module in modules.items() if hasattr(module, name)}


def method(name: str) -> Callable[..., Recipe]:
    """The method called `name`.

    Raises WrongUse, with the near name, where there is none."""
    known = methods()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise WrongUse(f"no method {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"))
    return known[name]
