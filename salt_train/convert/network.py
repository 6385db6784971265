"""One network out of a file: chosen among those it holds, under diffusers' names, checked against what a Wan must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from salt_bench.errors import UserError, WrongUse
from salt_train.convert import names, reading
from salt_train.convert.sizes import Misfit, Sizes, misfit, recognised

PATCH = (1, 2, 2)
EMBEDDING = "patch_embedding.weight"
BESIDE = ("critic", "fake_score", "real_score", "discriminator")
"""What stands beside the network that makes videos in a trainer's file, and is never meant unless it is named."""


@dataclass(frozen=True)
class Pick:
    """Which network of the file `path` is meant: the part called `take` (else the only one), without the keys that contain one
    of `without`."""

    path: Path
    take: str = ""
    without: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Network:
    """`tensors` under diffusers' names, views of the mapped file; `layout` is whose names they had there, `part` where they
    stood."""

    part: str
    layout: str
    tensors: Mapping[str, Tensor]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    @property
    def numbers(self) -> int:
        """How many numbers its parameters are."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def dtypes(self) -> str:
        return ", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in self.tensors.values()}))


def read(pick: Pick) -> Network:
    """The network that `pick` means, mapped anew.

    Raises UserError where there is none, WrongUse where there are several."""
    found = reading.parts(pick.path)
    part = chosen(found, pick)
    kept = {key: t for key, t in found[part].items() if not any(text in key for text in pick.without)}
    return _named(pick.path, part, kept)


def check(network: Network, pick: Pick) -> tuple[Sizes, Misfit]:
    """What the network must be, and in which parameters it is not."""
    try:
        sizes = recognised(network.shapes)
    except UserError as error:
        raise UserError(f"{pick.path} is another network: {error}") from None
    return sizes, misfit(network.shapes, sizes)


def fitting(network: Network, pick: Pick) -> Sizes:
    """The sizes of a network that fits.

    Raises UserError, with every key that is missing or too much, where it does not."""
    sizes, wrong = check(network, pick)
    if wrong:
        remedy = "; --without TEXT leaves out the keys that contain TEXT" if wrong.unexpected else ""
        raise UserError(f"{pick.path} does not fit {sizes.model} ({wrong}){remedy}")
    return sizes


def chosen(found: Mapping[str, reading.Tensors], pick: Pick) -> str:
    """The name of the part that is meant."""
    said = ", ".join(part or "a network without a name" for part in sorted(found))
    if pick.take:
        if pick.take not in found:
            raise WrongUse(f"{pick.path} has no part {pick.take!r}; it holds {said}")
        return pick.take
    networks = sorted(part for part, tensors in found.items() if not is_lora(tensors) and not _beside(part))
    if len(networks) > 1:
        raise WrongUse(f"{pick.path} holds {said}: say which with {' or '.join(f'--take {part}' for part in networks)}")
    if not networks:
        loras = [part for part, tensors in found.items() if is_lora(tensors)]
        remedy = "give it with --lora, and its base as the source" if loras else "say --take NAME if that is meant"
        raise WrongUse(f"{pick.path} holds {said} and no network that makes videos: {remedy}")
    return networks[0]


def is_lora(tensors: reading.Tensors) -> bool:
    """Whether a part holds low-rank changes of a network, not a network."""
    return any(".lora_" in key for key in tensors)


def _beside(part: str) -> bool:
    return any(word in part for word in BESIDE)


def _named(path: Path, part: str, tensors: reading.Tensors) -> Network:
    """The part under diffusers' names."""
    plain = unwrapped(path, tensors)
    layout = names.layout(plain)
    if layout is None:
        first = ", ".join(sorted(plain)[:3])
        raise UserError(f"{path} is another network: none of its {len(plain)} keys is a Wan 2.1 transformer's ({first}, …)")
    found = plain if layout == "diffusers" else {names.to_diffusers(key): tensor for key, tensor in plain.items()}
    return convolved(Network(part, layout, found))


def unwrapped(path: Path, tensors: reading.Tensors) -> dict[str, Tensor]:
    """Plain keys.

    Raises UserError where two keys are the same but for their wrapping."""
    found: dict[str, str] = {}
    for key in tensors:
        twin = found.setdefault(names.plain(key), key)
        if twin != key:
            raise UserError(f"{path} holds {names.plain(key)} twice, as {twin} and as {key}; --without TEXT leaves one out")
    return {plain: tensors[key] for plain, key in found.items()}


def convolved(network: Network) -> Network:
    """The patch embedding as a convolution (D, C, 1, 2, 2) where a file has it as a matrix (D, C·1·2·2), as rCM's have."""
    weight = network.tensors.get(EMBEDDING)
    if weight is None or weight.ndim != 2:
        return network
    return replace(network, tensors={**network.tensors, EMBEDDING: weight.unflatten(1, (-1, *PATCH))})


def floats(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """`tensor` in `dtype`; as it is where that is None, or where it holds no fractions."""
    return tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
