"""CLIP's byte pairs, by open_clip's tokenizer."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import Tensor


def tokens(texts: list[str], context: int) -> Tensor:
    """Token numbers (N, context): a long text is cut and still ends with the end token."""
    return _module().tokenize(texts, context_length=context)


@cache
def _module() -> ModuleType:
    """The tokenizer's file alone: the package imports all that open_clip can do, which keeps 160 MB and takes seconds."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", Path(package.origin).with_name("tokenizer.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
