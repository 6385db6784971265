"""Low-rank changes of a network (PEFT's `lora_A`, `lora_B`), added to the weights that they change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from salt_bench.errors import UserError, WrongUse
from salt_train.convert import names, reading
from salt_train.convert.network import Network, is_lora, unwrapped

KEY = re.compile(r"(.+)\.lora_([AB])(?:\.\w+)?\.weight")
CRITIC = "critic"


@dataclass(frozen=True, eq=False)
class Change:
    """ΔW = B·A with `down` A (r, in) and `up` B (out, r)."""

    down: Tensor
    up: Tensor

    def added(self, weight: Tensor, scale: float) -> Tensor:
        """weight + scale·B·A in float32; `scale` is α/r."""
        return weight.float() + scale * (self.up.float() @ self.down.float())


def read(path: Path) -> dict[str, Change]:
    """The changes in a file, under diffusers' names of the weights that they change; a critic's do not count.

    Raises UserError where the file holds anything else."""
    tensors = unwrapped(path, _part(path))
    layout = names.layout(tensors)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise UserError(f"{path} holds {key}, which is neither lora_A nor lora_B of a weight")
        weight = f"{match[1]}.weight"
        found.setdefault(names.to_diffusers(weight) if layout == "wan" else weight, {})[match[2]] = tensor
    half = [weight for weight, pair in found.items() if len(pair) < 2]
    if half:
        raise UserError(f"{path} holds half a change only (lora_A or lora_B) of {names.grouped(half)}")
    return {weight: Change(pair["A"], pair["B"]) for weight, pair in found.items()}


def check(path: Path, changes: Mapping[str, Change], base: Network) -> None:
    """Raises UserError where a change has no weight of its shape in `base`."""
    shapes = base.shapes
    lost = [w for w, c in changes.items() if shapes.get(w) != (c.up.shape[0], c.down.shape[1]) or len(c.down) != c.up.shape[1]]
    if lost:
        raise UserError(f"{path} changes weights that the base does not have in that shape: {names.grouped(lost)}")


def _part(path: Path) -> reading.Tensors:
    found = {part: t for part, t in reading.parts(path).items() if is_lora(t) and CRITIC not in part}
    if len(found) != 1:
        held = ", ".join(sorted(found)) or "no LoRA"
        raise WrongUse(f"{path} holds {held}: --lora takes a file with one, under any name but a critic's")
    return next(iter(found.values()))
