"""Low-rank adapters: a network whose weights stay what they are, and whose small changes learn.

y = W x + (α/r)·B A x at every Linear of the transformer blocks (Hu et al. 2021, arXiv 2106.09685), as LongLive tunes student
and critic. A checkpoint holds W + (α/r)·B A in the layout that every other one has, and the factors in a file beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.rng import Draws
from salt_train.backbones.base import Backbone
from salt_train.convert import names
from salt_train.convert.lora import Change
from salt_train.parallel import part
from salt_train.recipe import LoRA

DOWN, UP, BASE = ".lora_A", ".lora_B", ".base"


class Adapted(nn.Module):
    """A Linear `base` (out, in) and its change: `lora_A` (r, in) and `lora_B` (out, r), with zeros in both."""

    def __init__(self, base: nn.Linear, lora: LoRA) -> None:
        super().__init__()
        self.base, self.scale = base, lora.scale
        self.lora_A = nn.Parameter(base.weight.new_zeros(lora.rank, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, lora.rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + F.linear(self.scale * F.linear(x, self.lora_A), self.lora_B)


def adapted(net: Backbone, lora: LoRA | None) -> Backbone:
    """The same network, of which only the factors of its blocks' layers learn; without `lora`, as it was."""
    if lora is None:
        return net
    net.requires_grad_(False)
    *blocks, _ = net.pieces()
    inside = {module for block in blocks for module in block.modules()}
    layers = {name: m for name, m in net.named_modules() if isinstance(m, nn.Linear) and m in inside}
    if not layers:
        raise ValueError(f"{type(net).__name__} has no Linear in blocks to adapt; train it without `lora`")
    for name, layer in layers.items():
        net.set_submodule(name, Adapted(layer, lora))
    return net


def begun(net: Backbone, draws: Draws) -> Backbone:
    """The same network with A normal by name, of PEFT's own variance 1/(3·in), and B zero: at first nothing is changed."""
    for name, layer in net.named_modules():
        if isinstance(layer, Adapted):
            drawn = torch.from_numpy(draws(name).normal(tuple(layer.lora_A.shape)))
            _set(layer.lora_A, drawn / math.sqrt(3 * layer.base.in_features))
            _set(layer.lora_B, torch.zeros(layer.lora_B.shape))
    return net


def _set(parameter: Tensor, values: Tensor) -> None:
    """Writes what this process holds of a parameter."""
    mine, first = part(parameter)
    where = tuple(slice(at, at + size) for at, size in zip(first, mine.shape, strict=True))
    with torch.no_grad():
        mine.copy_(values[where])


def learnt(net: nn.Module) -> dict[str, Tensor]:
    """What training changes of a network, by name: its factors where it has some, else all."""
    state: dict[str, Tensor] = net.state_dict()
    return {name: tensor for name, tensor in state.items() if is_factor(name)} or state


def bases(net: nn.Module) -> dict[str, Tensor]:
    """A network's tensors but for the factors, where they lie, under the names that they have without any."""
    return {plain(name): tensor for name, tensor in net.state_dict().items() if not is_factor(name)}


def restore(net: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Gives a network what `learnt` said of it."""
    net.load_state_dict(saved, strict=not any(name.endswith(DOWN) for name in saved))


def merged(state: Mapping[str, Tensor], lora: LoRA | None) -> dict[str, Tensor]:
    """The plain weights that do what a network with this `state` does, under the names that they have without factors."""
    changes = dict(_changes(state, lora)) if lora else {}
    return {plain(name): _added(name, tensor, changes) for name, tensor in state.items() if not is_factor(name)}


def peft(state: Mapping[str, Tensor], lora: LoRA | None) -> dict[str, Tensor]:
    """The factors under PEFT's keys. α/r is in B: whoever adds B·A at scale 1, as `salt-train convert` does, is right."""
    found: dict[str, Tensor] = {}
    for layer, change in _changes(state, lora) if lora else ():
        key = f"base_model.model.{names.plain(layer)}"
        found |= {f"{key}{DOWN}.weight": change.down, f"{key}{UP}.weight": change.up}
    return found


def _changes(state: Mapping[str, Tensor], lora: LoRA) -> Iterator[tuple[str, Change]]:
    """(name of a layer, what is added to its weight)."""
    for layer in (name.removesuffix(DOWN) for name in state if name.endswith(DOWN)):
        yield layer, Change(state[layer + DOWN], lora.scale * state[layer + UP])


def _added(name: str, tensor: Tensor, changes: Mapping[str, Change]) -> Tensor:
    change = changes.get(name.removesuffix(f"{BASE}.weight"))
    return change.added(tensor, 1.0) if change else tensor


def is_factor(name: str) -> bool:
    """Whether a parameter of that name is of a low-rank change."""
    return name.endswith((DOWN, UP))


def plain(name: str) -> str:
    """A parameter's name without the wrapper's part of it."""
    layer, _, leaf = name.rpartition(".")
    return f"{layer.removesuffix(BASE)}.{leaf}" if layer else leaf
