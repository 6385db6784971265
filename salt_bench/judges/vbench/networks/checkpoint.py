"""Reading a network's weight file: tensors only, every name accounted for."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from salt_bench.errors import UserError

State = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


def read(path: Path) -> State:
    """The tensors of a checkpoint, on the CPU; those of its entry "model" where it has one."""
    if not path.is_file():
        raise UserError(f"{path} is not there: put the released weights under that name")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path} is no checkpoint of plain tensors ({str(error).splitlines()[0]}): fetch it again") from error
    content = content.get("model", content)
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def fill(make: Callable[[], Network], state: State, unread: tuple[str, ...], path: Path) -> Network:
    """The network that `make` makes, in float32, with the tensors of `state`. Those whose names hold a part in `unread` are
    of no use to it; any other name that is missing, left over or of another shape is an error that lists them."""
    with torch.device("meta"):
        network = make()
    wanted = network.state_dict()
    offered = {name: value for name, value in state.items() if name in wanted or not any(part in name for part in unread)}
    _refuse(path, "lacks", [name for name in wanted if name not in offered])
    _refuse(path, "has no use for", [name for name in offered if name not in wanted])
    _refuse(path, "has other shapes in", [name for name in wanted if offered[name].shape != wanted[name].shape])
    network.load_state_dict({name: value.float() for name, value in offered.items()}, assign=True)
    return network.eval().requires_grad_(False)


def _refuse(path: Path, what: str, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise UserError(f"{path.name} {what} {shown}: it is not the released file, or its names differ from what is known")


def count(state: State, before: str, after: str = "") -> int:
    """How many numbered parts lie under the name `before`: 12 for "blocks." of "blocks.0.…" to "blocks.11.…"."""
    numbers = {name.removeprefix(before).split(".")[0] for name in state if name.startswith(before) and name.endswith(after)}
    return len(numbers)
