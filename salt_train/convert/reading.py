"""Files of weights, read without running what they hold and without bringing them into memory as a whole.

Tensors are views of the mapped file: pages come in as they are used, and go when the last tensor of that reading does. Whoever
works on many gigabytes reads the same file again for each piece.
"""

from __future__ import annotations

import json
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from salt_bench.errors import UserError, words_of
from salt_train import checkpoint
from salt_train.published import TRANSFORMER

Tensors = Mapping[str, Tensor]

ZIP, LEGACY, PICKLE, POINTER = b"PK\x03\x04", b"\x80\x02\x8a\n", b"\x80", b"version https://git-lfs"
HEADS = ("generator", "generator_ema", "critic", "net", "net_ema")
"""What a flat file puts in front of the keys of each of its networks."""


def parts(path: Path) -> dict[str, Tensors]:
    """The networks in a file or folder under their names; the name is "" where the file is one network without a wrapping.

    Raises UserError where there are no weights, or where they are damaged or more than weights."""
    found = _wrapped(_read(path))
    if not found:
        raise UserError(f"{path} holds no weights: no name in it leads to tensors")
    return found


def kind(path: Path) -> str:
    """What sort of file `path` is, in words."""
    found = files(path)
    zipped = _head(found[0]).startswith(ZIP)
    sort = "safetensors" if _is_safetensors(found[0]) else "torch zip" if zipped else "torch before 1.6"
    size = sum(file.stat().st_size for file in found)
    return f"{sort}, {len(found)} file{'s' * (len(found) > 1)}, {size / 1e9:.2f} GB"


def files(path: Path) -> list[Path]:
    """The weight files that `path` stands for: itself, what its index lists, or those of a folder.

    Raises UserError where there are none, or where it is open which."""
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise UserError(f"{path} is not there; name a file of weights or a folder in diffusers' layout")
    return _indexed(path) if path.name.endswith(".index.json") else [path]


def _in_folder(folder: Path) -> list[Path]:
    for place in (folder, folder / TRANSFORMER):
        if indices := sorted(place.glob("*.safetensors.index.json")):
            return _indexed(_only(indices, place))
        if found := _networks(place) or sorted(p for p in place.glob("*") if p.suffix in (".pt", ".pth")):
            return [_only(found, place)]
    if any(folder.glob("*.distcp")):
        raise UserError(
            f"{folder} is a distributed checkpoint; make a file of it first: "
            f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} weights.pt"
        )
    raise UserError(f"{folder} holds no weights, nor does its {TRANSFORMER}/: name a .safetensors, .pt or .pth file")


def _networks(place: Path) -> list[Path]:
    """The .safetensors files in `place`, without the low-rank changes that a checkpoint keeps beside its network."""
    found = sorted(place.glob("*.safetensors"))
    return [path for path in found if path.name != checkpoint.LORA] or found


def _only(found: list[Path], place: Path) -> Path:
    if len(found) > 1:
        raise UserError(f"{place} holds {', '.join(p.name for p in found)} and no index that joins them: name one file")
    return found[0]


def _indexed(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is no index of weights ({error}); fetch it again") from None
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        raise UserError(f"{index} lists {', '.join(missing) or 'nothing'}, which is not beside it; fetch all its files")
    return [index.parent / name for name in names]


def _read(path: Path) -> Any:
    """Whatever `path` holds: nested mappings and tensors, and nothing that was run."""
    found = files(path)
    if len(found) == 1 and not _is_safetensors(found[0]):
        return _torch(found[0])
    tensors: dict[str, Tensor] = {}
    for file in found:
        tensors |= _safetensors(file)
    return tensors


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        head = file.read(32)
    if not head:
        raise UserError(f"{path} is empty; fetch it again")
    if head.startswith(POINTER):
        raise UserError(f"{path} is a pointer of git-lfs, not the weights; run git lfs pull")
    return head


def _is_safetensors(path: Path) -> bool:
    """By its name, or by the brace behind the length of the header; that length may begin like any other format."""
    return _head(path)[8:9] == b"{" or path.suffix == ".safetensors"


def _safetensors(path: Path) -> dict[str, Tensor]:
    _head(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is truncated or damaged ({words_of(error)}); fetch it again") from None


def _torch(path: Path) -> Any:
    head = _head(path)
    if not head.startswith((ZIP, PICKLE)):
        raise UserError(f"{path} is no file of weights: neither .safetensors nor written by torch.save")
    if not head.startswith((ZIP, LEGACY)):
        raise UserError(_code(path, _named(path)))
    try:
        return torch.load(path, weights_only=True, mmap=head.startswith(ZIP), map_location="cpu")
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        raise UserError(_code(path, wanted[1] if wanted else "")) from None
    except Exception as error:  # a damaged archive ends in errors of many kinds
        raise UserError(f"{path} is truncated or damaged ({words_of(error)}); fetch it again") from None


def _code(path: Path, wanted: str) -> str:
    reason = f"asks for {wanted}" if wanted else "asks for more than tensors"
    return f"{path} {reason} when it is read: that is code, none of it was run; get a file of tensors alone (.safetensors)"


def _named(path: Path) -> str:
    """The first name that a bare pickle would import, found without running it; "" where it is damaged or imports nothing."""
    strings: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(path.read_bytes()):
            if operation.name == "GLOBAL":
                return str(argument).replace(" ", ".")
            if operation.name == "STACK_GLOBAL":
                return ".".join(strings[-2:])
            strings += [argument] if isinstance(argument, str) else []
    except ValueError:
        pass
    return ""


def _wrapped(found: Any) -> dict[str, Tensors]:
    """Every network of a file: a mapping of tensors, or one level of names above such mappings; numbers beside them do not
    count (`step`)."""
    if not isinstance(found, Mapping):
        return {}
    if tensors := _tensors(found):
        return _heads("", tensors)
    named = {str(name): _tensors(value) for name, value in found.items() if isinstance(value, Mapping)}
    return {part: inner for name, tensors in named.items() if tensors for part, inner in _heads(name, tensors).items()}


def _tensors(found: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value.detach() for name, value in found.items() if isinstance(value, Tensor)}


def _heads(name: str, tensors: Tensors) -> dict[str, Tensors]:
    """A flat mapping of several networks, split where every key begins with the name of one."""
    split = [(head, rest, t) for key, t in tensors.items() for head, _, rest in [key.partition(".")] if head in HEADS]
    if len(split) < len(tensors):
        return {name: tensors}
    found: dict[str, dict[str, Tensor]] = {}
    for head, rest, tensor in split:
        found.setdefault(head, {})[rest] = tensor
    return dict(found)
