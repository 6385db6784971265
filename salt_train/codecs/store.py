"""What encoders made of captions and videos, kept on disk for all runs under digests of what went in and of their weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from salt_bench import files

NAME, SHA = "tensor", "sha256"


@dataclass(frozen=True)
class Store:
    """Tensors of one `kind`, one file each, in `$SALT_CACHE`/<kind>. A file that is damaged in any byte counts as not there: it
    is made again, since what it is made of is known."""

    kind: str

    def has(self, key: str) -> bool:
        """Whether something was put under `key`, sound or not."""
        return self._path(key).is_file()

    def get(self, key: str) -> Tensor | None:
        """What was put under `key`; None where nothing was, or where it is not what was put there."""
        try:
            with safe_open(self._path(key), "pt") as file:
                tensor: Tensor = file.get_tensor(NAME)
                return tensor if (file.metadata() or {}).get(SHA) == _digest(tensor) else None
        except (SafetensorError, OSError):
            return None

    def put(self, key: str, tensor: Tensor) -> None:
        """Whole or not at all, whoever else writes the same."""
        data = save({NAME: tensor.contiguous()}, {SHA: _digest(tensor)})
        path = self._path(key)
        with files.lock(path.with_name(".lock")):
            files.write_bytes(path, data)

    def _path(self, key: str) -> Path:
        return files.cache() / self.kind / key[:2] / f"{key}.safetensors"


def key(*parts: str) -> str:
    """The name of what is made of `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bytes, whatever its dtype."""
    return hashlib.sha256(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data).hexdigest()
