"""A file of weights in, a folder out: diffusers' layout, or Wan's own names."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from salt_bench import files
from salt_bench.errors import WrongUse
from salt_train.convert import lora, names, network, writing
from salt_train.convert.lora import Change
from salt_train.convert.network import Network, Pick, floats
from salt_train.convert.sizes import Sizes
from salt_train.convert.writing import Entry
from salt_train.published import CONVERSION, TRANSFORMER

DTYPES: Mapping[str, torch.dtype | None] = {"keep": None, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Wish:
    """What is to be made of a network: whose names (`to`), which dtype, and with which low-rank changes, times `scale` (α/r). A
    shard holds at most `shard` bytes."""

    to: str = "diffusers"
    dtype: str = "keep"
    lora: Path | None = None
    scale: float = 1.0
    shard: int = writing.SHARD

    def __post_init__(self) -> None:
        for word, known in ((self.to, names.LAYOUTS), (self.dtype, tuple(DTYPES))):
            if word not in known:
                raise WrongUse(f"expected one of {', '.join(known)}, got {word!r}")


def convert(pick: Pick, out: Path, wish: Wish, say: Callable[[str], None]) -> Sizes:
    """Writes the network that `pick` means into the new folder `out`, which appears when everything is in it.

    Raises UserError where the source does not fit or cannot be read, WrongUse where `out` is there or the wish is unclear."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WrongUse(f"{out} is there already: name a new folder, or remove it first")
    found = network.read(pick)
    sizes = network.fitting(found, pick)
    if wish.lora:
        lora.check(wish.lora, lora.read(wish.lora), found)
    say(f"{sizes.model}: {len(found.tensors)} tensors, {found.numbers:,} numbers, {found.dtypes}, from {_origin(found)}")
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _write(pick, unfinished, wish, _entries(found, wish), sizes, say)
        os.replace(unfinished, out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return sizes


def _write(pick: Pick, folder: Path, wish: Wish, entries: list[Entry], sizes: Sizes, say: Callable[[str], None]) -> None:
    groups = writing.shards(entries, wish.shard)
    place = folder / TRANSFORMER if wish.to == "diffusers" else folder
    digests = {}
    for number, (name, group) in enumerate(zip(writing.file_names(len(groups)), groups, strict=True), start=1):
        digests[name] = _shard(pick, place / name, wish, group)
        say(f"{number} of {len(groups)}: {name}")
    if len(groups) > 1:
        files.write_text(place / f"{writing.STEM}.safetensors.index.json", writing.index(groups))
    files.write_text(place / "config.json", json.dumps(_config(sizes, wish.to), indent=2) + "\n")
    files.write_text(folder / CONVERSION, json.dumps(_record(pick, wish, sizes, digests), indent=1) + "\n")


def _shard(pick: Pick, path: Path, wish: Wish, entries: list[Entry]) -> str:
    """Writes one shard from the source mapped anew, so that no page of an earlier shard is held."""
    found = network.read(pick).tensors
    changes = lora.read(wish.lora) if wish.lora else {}
    return writing.write(path, entries, lambda entry: _made(found[entry.key], changes.get(entry.key), entry, wish))


def _made(tensor: Tensor, change: Change | None, entry: Entry, wish: Wish) -> Tensor:
    return floats(tensor if change is None else change.added(tensor, wish.scale), entry.dtype)


def _entries(found: Network, wish: Wish) -> list[Entry]:
    """What is written, in the order of the file that is read."""
    dtype, rename = DTYPES[wish.dtype], names.to_wan if wish.to == "wan" else str
    return [Entry(k, rename(k), tuple(t.shape), dtype or t.dtype) for k, t in found.tensors.items()]


def _origin(found: Network) -> str:
    return f"{found.part or 'a file without wrapping'} under {'its own' if found.layout == 'wan' else 'diffusers'} names"


def _config(sizes: Sizes, to: str) -> dict[str, Any]:
    """config.json as the class of that layout reads it."""
    if to == "diffusers":
        return {"_class_name": "WanTransformer3DModel", **sizes.options()}
    return {
        "_class_name": "WanModel",
        "model_type": "i2v" if sizes.image else "t2v",
        "dim": sizes.width,
        "eps": 1e-6,
        "ffn_dim": sizes.hidden,
        "freq_dim": sizes.frequencies,
        "in_dim": sizes.channels,
        "num_heads": sizes.heads,
        "num_layers": sizes.layers,
        "out_dim": sizes.out,
        "text_len": 512,
    }


def _record(pick: Pick, wish: Wish, sizes: Sizes, digests: Mapping[str, str]) -> dict[str, Any]:
    """Where the folder's weights come from, and their digests: what a measurement on them rests on."""
    return {
        "source": pick.path.name,
        "take": pick.take,
        "without": list(pick.without),
        "lora": wish.lora.name if wish.lora else "",
        "scale": wish.scale,
        "to": wish.to,
        "dtype": wish.dtype,
        "model": sizes.model,
        "sha256": dict(digests),
    }
