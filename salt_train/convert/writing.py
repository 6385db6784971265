"""Sharded safetensors, written tensor by tensor: never more than one of them is in memory."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from salt_bench import files
from salt_bench.errors import UserError

STEM = "diffusion_pytorch_model"
SHARD = 1_000_000_000
"""Bytes of a shard. Reading maps the source once per shard, so this is also about what is mapped at a time."""

CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}
"""What the format calls a dtype."""


@dataclass(frozen=True)
class Entry:
    """One tensor to be written. `key` is its name where it is read, `name` where it is written."""

    key: str
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def __post_init__(self) -> None:
        if self.dtype not in CODES:
            raise UserError(f"{self.name} is {self.dtype}; weights are {', '.join(str(d) for d in CODES)}")

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def shards(entries: Sequence[Entry], limit: int = SHARD) -> list[list[Entry]]:
    """The entries in order, in groups of at most `limit` bytes; one that is larger stands alone."""
    groups: list[list[Entry]] = [[]]
    for entry in entries:
        if groups[-1] and sum(e.bytes for e in groups[-1]) + entry.bytes > limit:
            groups.append([])
        groups[-1].append(entry)
    return groups


def file_names(count: int) -> list[str]:
    """What diffusers calls the files of a network in `count` shards."""
    if count == 1:
        return [f"{STEM}.safetensors"]
    return [f"{STEM}-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]


def index(groups: Sequence[Sequence[Entry]]) -> str:
    """The JSON that says which shard holds which tensor."""
    places = {e.name: file for file, group in zip(file_names(len(groups)), groups, strict=True) for e in group}
    size = sum(entry.bytes for group in groups for entry in group)
    return json.dumps({"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}, indent=2) + "\n"


def write(path: Path, entries: Sequence[Entry], tensor: Callable[[Entry], Tensor]) -> str:
    """Writes one shard atomically; SHA-256 of its bytes. The format: length of the header, header, tensors end to end."""
    header, digest = _header(entries), hashlib.sha256()
    with files.atomic(path) as file:
        for piece in (len(header).to_bytes(8, "little"), header):
            digest.update(piece)
            file.write(piece)
        for entry in entries:
            data = _bytes(tensor(entry), entry)
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _header(entries: Sequence[Entry]) -> bytes:
    said: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for e in entries:
        said[e.name] = {"dtype": CODES[e.dtype], "shape": list(e.shape), "data_offsets": [at, at + e.bytes]}
        at += e.bytes
    data = json.dumps(said, separators=(",", ":")).encode()
    return data + b" " * (-len(data) % 8)  # tensors begin at a multiple of 8 bytes


def _bytes(tensor: Tensor, entry: Entry) -> memoryview:
    assert (tuple(tensor.shape), tensor.dtype) == (entry.shape, entry.dtype), entry
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
