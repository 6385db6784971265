"""Tiny networks of the real class, and the wrappings in which others publish them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from salt_train.convert.names import to_wan
from salt_train.convert.network import Pick

WIDTH = 128
TINY = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 1,
    "attention_head_dim": WIDTH,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 3,
}
IMAGE = {"in_channels": 36, "image_dim": 20, "added_kv_proj_dim": WIDTH}


def net(seed: int = 0, **other: int) -> nn.Module:
    """A random network in which no two numbers are equal."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(seed)
    made = WanTransformer3DModel(**(TINY | other))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return made.eval()


def wan(seed: int = 0, prefix: str = "") -> OrderedDict[str, Tensor]:
    """A network under Wan's names, each behind `prefix`, which may say where it comes with "{}"."""
    plain = {to_wan(key): tensor for key, tensor in net(seed).state_dict().items()}
    return OrderedDict((prefix.format(key) if "{}" in prefix else prefix + key, tensor) for key, tensor in plain.items())


def saved(path: Path, found: object) -> Path:
    torch.save(found, path)
    return path


def pick(path: Path, take: str = "", without: tuple[str, ...] = ()) -> Pick:
    return Pick(path, take, without)


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[key], b[key]) for key in a)
