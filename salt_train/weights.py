"""Where a network's weights come from, tensor by tensor: every process reads of a file what it holds itself, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from salt_bench.errors import UserError
from salt_train.parallel import part

Shape = tuple[int, ...]


class Weights(Protocol):
    """The tensors of one network, by the names that they have in it."""

    def check(self, shapes: Mapping[str, Shape]) -> None:
        """Raises UserError where these are not a network's with tensors of such shapes."""

    def put(self, name: str, first: Shape, into: Tensor) -> None:
        """Writes into `into` the part of the tensor `name` that begins at `first`."""


def load(tensors: Mapping[str, Tensor], weights: Weights) -> None:
    """Gives the tensors of a network, whole or spread over processes, what they have in `weights`.

    Raises UserError where they are missing, damaged or of another shape."""
    weights.check({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    with torch.no_grad():
        for name, tensor in tensors.items():
            into, first = part(tensor)
            if into.numel():
                weights.put(name, first, into)


@dataclass(frozen=True, eq=False)
class Stored:
    """Safetensors files, whose names follow `prefix` in the network; only what is asked for is read. `misfit` makes an error of
    what is wrong with them as a network, `damaged` of a file that cannot be read."""

    paths: Sequence[Path]
    misfit: Callable[[str], UserError]
    damaged: Callable[[Path, object], UserError]
    prefix: str = ""

    @cached_property
    def _found(self) -> dict[str, Any]:
        """Name → a tensor that is not read yet."""
        found: dict[str, Any] = {}
        for path in self.paths:
            try:
                file = safe_open(path, framework="pt")
                names = file.keys()
                found |= {f"{self.prefix}{name}": file.get_slice(name) for name in names}
            except (SafetensorError, OSError, ValueError) as error:
                raise self.damaged(path, error) from None
        return found

    def check(self, shapes: Mapping[str, Shape]) -> None:
        there = {name: tuple(tensor.get_shape()) for name, tensor in self._found.items()}
        if missing := sorted(shapes.keys() - there.keys()):
            raise self.misfit(f"{len(missing)} tensors are missing, {missing[0]} first")
        if more := sorted(there.keys() - shapes.keys()):
            raise self.misfit(f"{len(more)} tensors are too many, {more[0]} first")
        for name, shape in shapes.items():
            if there[name] != shape:
                raise self.misfit(f"{name} is {there[name]}, wanted {shape}")

    def put(self, name: str, first: Shape, into: Tensor) -> None:
        where = tuple(slice(at, at + size) for at, size in zip(first, into.shape, strict=True))
        into.copy_(self._found[name][where])


@dataclass(frozen=True, eq=False)
class Random:
    """Random weights for any network, made where they go: the size of an input is that of the output, biases are 0 and scales
    1. One block of numbers is repeated, since nobody learns from them."""

    block: int = 2**20

    def check(self, shapes: Mapping[str, Shape]) -> None:
        """Whatever is asked for is there."""

    def put(self, name: str, first: Shape, into: Tensor) -> None:
        if into.ndim < 2:
            into.fill_(0.0 if name.endswith("bias") else 1.0)
            return
        flat = into.view(-1)
        numbers = torch.randn(min(self.block, len(flat)), generator=self._draws(into.device), device=into.device)
        numbers *= into[0].numel() ** -0.5
        for piece in flat.split(self.block):
            piece.copy_(numbers[: len(piece)])

    def _draws(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(0)
