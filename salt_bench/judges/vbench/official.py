"""Where VBench's own data lies: beside its weights, or in the cache, into which it is brought once."""

from __future__ import annotations

import sys
from pathlib import Path

from salt_bench import files
from salt_bench.errors import UserError
from salt_bench.prompts import data, vbench, vbench_i2v
from salt_bench.prompts.base import Size, Suite


def lies(file: data.DataFile, weights: Path) -> Path:
    """The file in the folder of weights, or in the cache. What is in neither is got as `salt-bench data vbench` gets it, once,
    where that can get it.

    Raises UserError, with the remedy, where it cannot be had."""
    cache = data.cache()
    found = _in(weights, file) or _in(cache, file)
    if found is None and file.member:
        with files.lock(cache / ".lock"):
            if _in(cache, file) is None:
                data.obtain(None, cache, lambda text: print(text, file=sys.stderr, flush=True))
    return found or data.find(file)


def _in(folder: Path, file: data.DataFile) -> Path | None:
    try:
        return data.find(file, folder) if folder.is_dir() else None
    except UserError:
        return None


def suite(weights: Path, name: str = vbench.NAME, size: Size = Size.full) -> Suite:
    """The prompts of VBench, which VBench-Long asks for too, or of VBench-I2V."""
    if name == vbench_i2v.NAME:
        return vbench_i2v.suite(size, lies(data.I2V, weights))
    return vbench.suite(size, lies(data.VBENCH, weights))
