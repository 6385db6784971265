"""Which Wan a network is, read from the shapes of its parameters, and what such a network must have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from salt_bench.errors import UserError
from salt_train.convert.names import grouped

Shapes = Mapping[str, tuple[int, ...]]

HEAD = 128
"""Width of an attention head in every Wan 2.1: the one size that no shape tells."""
TELLING = (
    "patch_embedding.weight",
    "proj_out.weight",
    "blocks.0.ffn.net.0.proj.weight",
    "condition_embedder.time_embedder.linear_1.weight",
    "condition_embedder.text_embedder.linear_1.weight",
)
IMAGE = "condition_embedder.image_embedder."


@dataclass(frozen=True)
class Sizes:
    """A `WanTransformer3DModel`. `image` is the width of image features and `places` the number of their positions, where it
    reads an image."""

    width: int
    layers: int
    hidden: int
    channels: int
    out: int
    words: int
    frequencies: int
    patch: tuple[int, int, int]
    image: int | None = None
    places: int | None = None

    @property
    def heads(self) -> int:
        return self.width // HEAD

    @property
    def model(self) -> str:
        """The published model with these shapes, else what it is."""
        task = "FLF2V" if self.places else "I2V" if self.image else "T2V"
        scale = {(1536, 30, 8960): "1.3B", (5120, 40, 13824): "14B"}.get((self.width, self.layers, self.hidden))
        usual = (self.channels, self.out, self.words, self.frequencies) == (36 if self.image else 16, 16, 4096, 256)
        return f"Wan 2.1 {task} {scale}" if scale and usual else f"no published size of Wan 2.1 ({task})"

    def options(self) -> dict[str, Any]:
        """The arguments of diffusers' class."""
        image = {"image_dim": self.image, "added_kv_proj_dim": self.width, "pos_embed_seq_len": self.places}
        return {
            "patch_size": self.patch,
            "num_attention_heads": self.heads,
            "attention_head_dim": HEAD,
            "in_channels": self.channels,
            "out_channels": self.out,
            "text_dim": self.words,
            "freq_dim": self.frequencies,
            "ffn_dim": self.hidden,
            "num_layers": self.layers,
        } | (image if self.image else {})


@dataclass(frozen=True)
class Misfit:
    """How a file's parameters, under diffusers' names, differ from those of the network that it must be."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "fits nothing": self.unexpected, "another shape": self.misshapen}
        return "; ".join(f"{kind}: {grouped(keys)}" for kind, keys in kinds.items() if keys)


def recognised(shapes: Shapes) -> Sizes:
    """The sizes that the shapes of parameters, under diffusers' names, tell.

    Raises UserError where the telling ones are not there or cannot be a Wan's."""
    missing = [name for name in TELLING if name not in shapes]
    if missing:
        raise UserError(f"the keys are no Wan 2.1 transformer's; missing: {grouped(missing)}")
    embedding, projection, hidden, time, text = (shapes[name] for name in TELLING)
    if len(embedding) != 5 or embedding[0] % HEAD:
        raise UserError(
            f"patch_embedding.weight is (width, channels, t, h, w) with a width that {HEAD} divides, got {embedding}"
        )
    patch = (embedding[2], embedding[3], embedding[4])
    return Sizes(
        width=embedding[0],
        layers=_layers(shapes),
        hidden=hidden[0],
        channels=embedding[1],
        out=projection[0] // math.prod(patch),
        words=text[-1],
        frequencies=time[-1],
        patch=patch,
        image=_first(shapes, f"{IMAGE}norm1.weight", 0),
        places=_first(shapes, f"{IMAGE}pos_embed", 1),
    )


def misfit(shapes: Shapes, sizes: Sizes) -> Misfit:
    """Every key that is missing, that the network does not have, or that has another shape there."""
    wanted = dict(expected(sizes))
    return Misfit(
        missing=tuple(sorted(wanted.keys() - shapes.keys())),
        unexpected=tuple(sorted(shapes.keys() - wanted.keys())),
        misshapen=tuple(sorted(key for key in wanted.keys() & shapes.keys() if wanted[key] != shapes[key])),
    )


@lru_cache(maxsize=8)
def expected(sizes: Sizes) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """(name, shape) of every parameter, from diffusers' own class without memory for its weights."""
    import torch
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        net: Any = WanTransformer3DModel(**sizes.options())
    return tuple((name, tuple(tensor.shape)) for name, tensor in net.state_dict().items())


def _layers(shapes: Shapes) -> int:
    """One more than the highest number of a block: gaps are missing keys, unless there are more gaps than blocks."""
    numbers = {int(key.split(".")[1]) for key in shapes if key.startswith("blocks.") and key.split(".")[1].isdigit()}
    if max(numbers) >= 2 * len(numbers):
        raise UserError(f"the keys are no Wan 2.1 transformer's: {len(numbers)} blocks, numbered up to {max(numbers)}")
    return max(numbers) + 1


def _first(shapes: Shapes, name: str, axis: int) -> int | None:
    return shapes[name][axis] if name in shapes else None
