"""The scales on which methods are spelt out: the embedded world, and Wan 2.1 with the paper's constants; one file each."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from salt_bench.errors import WrongUse
from salt_train.setups.base import Setup


def setup(name: str) -> Setup:
    """The setup called `name`.

    Raises WrongUse, with the near name, where there is none."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise WrongUse(f"no setup {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"))
    found: Setup = importlib.import_module(f"{__name__}.{name}").SETUP
    return found
