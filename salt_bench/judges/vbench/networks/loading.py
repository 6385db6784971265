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


def read(path: Path, inside: str = "") -> State:
    """The tensors of a weight file by name, on the CPU, as float32; those under the key `inside` where there is one."""
    if not path.is_file():
        raise UserError(
            f"no weights at {path}: download them there, or name the folder that holds {path.parent.name}/{path.name}"
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is no whole weight file ({str(error).splitlines()[0]}): download it again") from error
    if inside and inside not in found:
        raise UserError(f"{path} has no entry {inside!r}, where its weights should be: it is another file, download it again")
    state = found[inside] if inside else found
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def empty(make: Callable[[], Network]) -> Network:
    """A network without memory for its weights, to be filled."""
    with torch.device("meta"):
        return make()


def fill(network: Network, state: State, path: Path) -> Network:
    """`network` with the tensors of `state` as its weights, for inference; `path` is where they came from."""
    wanted = network.state_dict()
    for name in state:
        if name not in wanted:
            raise UserError(f"{path} holds {name!r}, which the network has no place for: it is another file, download it again")
    for name, tensor in wanted.items():
        if name not in state:
            raise UserError(f"{path} lacks {name!r}, which the network needs: it is another file, download it again")
        if state[name].shape != tensor.shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(tensor.shape)}"
            raise UserError(f"{path} holds {name!r} with shape {shapes}: it is another file, download it again")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
