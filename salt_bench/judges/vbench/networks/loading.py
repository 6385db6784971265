"""Weight files: read without running what is in them, and put into a network only where every name and shape agrees."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from salt_bench.errors import UserError

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
ANOTHER = "it is another file, download it again"
UNVERIFIED = "it is not the released file, or its names differ from what is known"
"""Where the names were never held against the released file."""


def read(path: Path, inside: str = "", bare: bool = False) -> State:
    """The tensors of a weight file by name, on the CPU, as float32: those under its key `inside`, where one is named. `bare`: a
    file without that key holds the tensors themselves."""
    if not path.is_file():
        raise UserError(
            f"no weights at {path}: download them there, or name the folder that holds {path.parent.name}/{path.name}"
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is no whole weight file ({str(error).splitlines()[0]}): download it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds a {type(found).__name__}, no tensors by name: {ANOTHER}")
    if inside in found:
        found = found[inside]
    elif inside and not bare:
        raise UserError(f"{path} has no entry {inside!r}, where its weights should be: {ANOTHER}")
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def count(state: State, before: str) -> int:
    """How many numbered parts lie under the name `before`: 12 for "blocks." of "blocks.0.…" to "blocks.11.…"."""
    numbers = {name.removeprefix(before).split(".")[0] for name in state if name.startswith(before)}
    return len(numbers)


def empty(make: Callable[[], Network]) -> Network:
    """A network without memory for its weights, to be filled."""
    with torch.device("meta"):
        return make()


def fill(network: Network, state: State, path: Path, unread: tuple[str, ...] = (), remedy: str = ANOTHER) -> Network:
    """`network` with the tensors of `state` as its weights, for inference; `path` is where they came from. Tensors with a part
    of `unread` in their names are of no use to it; any other name or shape that differs is an error that ends with `remedy`."""
    wanted = network.state_dict()
    offered = {name: tensor for name, tensor in state.items() if name in wanted or not any(part in name for part in unread)}
    strange = [repr(name) for name in offered if name not in wanted]
    lacking = [repr(name) for name in wanted if name not in offered]
    both = {name: (tuple(offered[name].shape), tuple(wanted[name].shape)) for name in wanted if name in offered}
    misshapen = [f"{name!r} with shape {found}, not {right}" for name, (found, right) in both.items() if found != right]
    if strange:
        raise UserError(f"{path} holds {_listed(strange)}, which the network has no place for: {remedy}")
    if lacking:
        raise UserError(f"{path} lacks {_listed(lacking)}, which the network needs: {remedy}")
    if misshapen:
        raise UserError(f"{path} holds {_listed(misshapen)}: {remedy}")
    network.load_state_dict(offered, assign=True)
    return network.eval().requires_grad_(False)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
