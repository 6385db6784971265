"""A TorchScript archive as the tensors in it, mapped from the file: none of its code is run, none of its tensors takes memory,
where `torch.jit.load` reads them all (0.9 GB of CLIP ViT-L/14).

It is a zip: `data.pkl` says which module holds which, `data/0` and so on are the bytes of tensors, and `code/` says which of a
module's tensors are parameters and buffers.
"""

from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

_CLASS = re.compile(r"class (\w+)\(Module\):\n  __parameters__ = \[(.*)\]\n(?:  __buffers__ = \[(.*)\]\n)?")
_TYPES = {
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
}


def read(path: Path) -> dict[str, Tensor]:
    """All parameters and buffers by name, as `torch.jit.load(path).state_dict()` has them."""
    with zipfile.ZipFile(path) as archive:
        description = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        stem = description.removesuffix("data.pkl")
        module = _Reader(archive.read(description), _flat(path, archive, f"{stem}data/")).load()
        return dict(_tensors(module, _kept(archive, f"{stem}code/")))


def _flat(path: Path, archive: zipfile.ZipFile, folder: str) -> dict[str, Tensor]:
    """The bytes, uint8 (n,), of every entry of the archive in `folder`."""
    whole = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    with path.open("rb") as file:
        entries = [one for one in archive.infolist() if one.filename.startswith(folder)]
        if any(one.compress_type != zipfile.ZIP_STORED for one in entries):
            raise pickle.UnpicklingError("tensors are compressed")
        return {one.filename.removeprefix(folder): whole[slice(*_span(file, one))] for one in entries}


def _span(file: io.BufferedReader, entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of an entry are: after its own header, whose two last fields are the lengths of what is between."""
    file.seek(entry.header_offset + 26)
    first = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
    return first, first + entry.file_size


def _kept(archive: zipfile.ZipFile, folder: str) -> dict[str, set[str]]:
    """Class → the names of its parameters and buffers; other tensors are constants of its code."""
    found = {}
    for name in archive.namelist():
        if name.startswith(folder) and name.endswith(".py"):
            module = name.removeprefix(folder).removesuffix(".py").replace("/", ".")
            for kind, parameters, buffers in _CLASS.findall(archive.read(name).decode()):
                found[f"{module}.{kind}"] = set(re.findall(r'"([^"]+)"', parameters + buffers))
    return found


class _Module:
    kind: ClassVar[str]


def _tensors(module: _Module, kept: Mapping[str, set[str]], before: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, _Module):
            yield from _tensors(value, kept, f"{before}{name}.")
        elif isinstance(value, Tensor) and name in kept.get(module.kind, vars(module)):
            yield before + name, value


class _Reader(pickle.Unpickler):
    """Makes modules that hold what they are said to hold; nothing else that the file asks for is found, or called."""

    def __init__(self, description: bytes, flat: Mapping[str, Tensor]) -> None:
        super().__init__(io.BytesIO(description))
        self._flat = flat

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return type(name, (_Module,), {"kind": f"{module}.{name}"})
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        return {"_rebuild_tensor_v2": _tensor}.get(name, _nothing)

    def persistent_load(self, pid: tuple[str, torch.dtype, str, str, int]) -> Tensor:
        _, dtype, key, _, _ = pid
        return self._flat[key].view(dtype)


def _nothing(*_: object) -> None:
    return None


def _tensor(flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    return flat.as_strided(size, stride, flat.storage_offset() + offset)
