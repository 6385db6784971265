"""Weight files made at random, in VBench's own layout: the real networks, their widths and names, at any depth.

They show that everything runs, how fast it is and how much memory it takes; what is measured with them means nothing, and a
mark in their folder makes every page say so. Each tensor depends on the seed, the file and its own name alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from salt_bench import files
from salt_bench.errors import WrongUse
from salt_bench.judges.vbench import kinetics
from salt_bench.judges.vbench.networks import amt, musiq, umt, viclip, wordpiece
from salt_bench.judges.vbench.networks.grit import miniature as grit
from salt_bench.judges.vbench.networks.grit.model import Shape as GritShape
from salt_bench.judges.vbench.networks.loading import State, empty
from salt_bench.judges.vbench.networks.raft_layers import Network as RaftNetwork
from salt_bench.judges.vbench.networks.tag2text import miniature as tag2text
from salt_bench.judges.vbench.networks.tag2text.model import TAG_LAYERS
from salt_bench.judges.vbench.networks.tag2text.model import Shape as Tag2TextShape
from salt_bench.judges.vbench.weights import TABLE, weight
from salt_bench.prompts import data
from salt_bench.rng import Draws

MARK = "MADE_AT_RANDOM.txt"
_SMALL = r"cls_token|pos_embed|class_embedding|positional_embedding|token_embedding|position_emb|scale_emb|\.cls$"
_HEADS: Mapping[str, tuple[float, float]] = {
    "laion/bias": (5.0, 0.5),  # about the middle of 0 to 10
    "musiq/head.bias": (50.0, 1.0),  # and of 0 to 100
    "clip_b32/logit_scale": (math.log(100), 0.0),
    "clip_l14/logit_scale": (math.log(100), 0.0),
}
_DAMPED: Mapping[str, float] = {
    "amt/decoder1.convblock.2.weight": 0.1,  # else the guessed pictures are black and white
    "amt/comb_block.2.weight": 0.05,
    "raft/update_block.flow_head.conv2.weight": 0.04,  # else everything flies
    "raft/update_block.flow_head.conv2.bias": 0.04,
}


@dataclass(frozen=True)
class Depth:
    """How many layers a stack of `released` layers gets: all where `layers` is None."""

    layers: int | None = None

    def of(self, released: int) -> int:
        return released if self.layers is None else min(self.layers, released)


def write(folder: Path, layers: int | None = None, seed: int = 0) -> Iterator[Path]:
    """Writes every file of `weights.TABLE` below `folder`, one after the other, and yields their paths; before them the mark
    and made-up names of actions.

    Raises WrongUse where the folder holds weights without the mark: released files are never overwritten."""
    if not mark(folder) and any((folder / one.path).is_file() for one in TABLE):
        raise WrongUse(f"{folder} holds weights that were not made at random, which would be lost: name an empty folder")
    actions = "".join(f"action {number}\t{number}\n" for number in range(kinetics.COUNT))
    files.write_text(folder / data.KINETICS.name, actions)
    files.write_text(folder / MARK, f"made at random, seed {seed}, {layers or 'all'} layers\n")
    for name, make in _states(Depth(layers)).items():
        state = {key: _drawn(f"{name}/{key}", like, seed) for key, like in make().items()}
        yield _saved(folder / weight(name).path, state, _INSIDE.get(name))
    yield from _captioners(folder, Depth(layers), seed)


def mark(folder: Path) -> str:
    """What the mark in a folder of weights says; "" where there is none."""
    path = folder / MARK
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


_INSIDE = {"amt": "state_dict", "viclip": "model"}
"""Files that hold their tensors one level down."""


def _states(depth: Depth) -> dict[str, Callable[[], State]]:
    """Name of a weight → its tensors' names and shapes, without memory."""
    return {
        "dino": lambda: _meta(lambda: _dino(depth.of(12))),
        "clip_b32": lambda: _meta(lambda: _clip(512, depth, {"patch_size": 32, "layers": depth.of(12)}, 512)),
        "clip_l14": lambda: _meta(lambda: _clip(768, depth, {"patch_size": 14, "layers": depth.of(24), "width": 1024}, 768)),
        "laion": lambda: _meta(lambda: nn.Linear(768, 1)),
        "raft": lambda: _meta(RaftNetwork),
        "amt": lambda: _meta(amt.Amt),
        "musiq": lambda: _meta(lambda: musiq.Musiq(depth.of(musiq.LAYERS))),
        "viclip": lambda: _viclip(depth),
        "umt": lambda: _meta(lambda: umt.Umt(depth.of(umt.LAYERS))) | {"pos_embed": umt.positions()},
    }


def _meta(make: Callable[[], nn.Module]) -> State:
    return empty(make).state_dict()


def _dino(layers: int) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=224, embed_dim=768, depth=layers, num_heads=12, num_classes=0)


def _clip(space: int, depth: Depth, vision: dict[str, Any], text: int) -> nn.Module:
    from open_clip.model import CLIP

    return CLIP(space, vision, {"width": text, "heads": text // 64, "layers": depth.of(12)}, quick_gelu=True)


def _viclip(depth: Depth) -> State:
    video, text = (
        _meta(lambda: viclip.VideoTower(layers=depth.of(24))),
        _meta(lambda: viclip.TextTower(layers=depth.of(12))),
    )
    return {f"vision_encoder.{key}": t for key, t in video.items()} | {f"text_encoder.{key}": t for key, t in text.items()}


def _drawn(name: str, like: torch.Tensor, seed: int) -> torch.Tensor:
    """Values that let a signal through: matrices scaled by their inputs, norms about 1, biases and embeddings small."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    if not like.is_meta:
        return like
    mean, scale = _spread(name, like.shape)
    noise = torch.from_numpy(Draws(seed)("weights", name).normal(tuple(like.shape)))
    value = mean + scale * (noise.abs() if name.endswith("running_var") else noise)
    return value.half() if name.startswith("clip_") and value.ndim > 1 and "embedding" not in name else value  # as released


def _spread(name: str, shape: torch.Size) -> tuple[float, float]:
    """Mean and standard deviation of a tensor's values."""
    if name in _HEADS:
        return _HEADS[name]
    if re.search(_SMALL, name):
        return 0.0, 0.02
    if name.endswith("running_var"):
        return 0.5, 1.0
    if len(shape) > 1:
        return 0.0, _DAMPED.get(name, 1.0) / math.sqrt(math.prod(shape[1:]))
    return (1.0, 0.1) if name.endswith("weight") else (0.0, 0.02 * _DAMPED.get(name, 1.0))


def _captioners(folder: Path, depth: Depth, seed: int) -> Iterator[Path]:
    """GRiT and Tag2Text, with the words that they share."""
    shape = GritShape()
    shape = replace(shape, reaches=shape.reaches[-depth.of(len(shape.reaches)) :], text_depth=depth.of(shape.text_depth))
    yield _saved(folder / weight("grit").path, grit.miniature(seed, shape).state_dict(), "model")
    tags = Tag2TextShape()
    tags = replace(
        tags,
        depths=tuple(map(depth.of, tags.depths)),
        encoder_depth=max(TAG_LAYERS, depth.of(tags.encoder_depth)),
        decoder_depth=depth.of(tags.decoder_depth),
    )
    yield _saved(folder / weight("tag2text").path, tag2text.miniature(seed, tags).state_dict(), "model")
    tag2text.write_tags(folder / weight("tag_list").path, tags)
    yield folder / weight("tag_list").path
    wordpiece.write_small(folder / weight("bert_vocab").path, size=shape.vocabulary)
    yield folder / weight("bert_vocab").path


def _saved(path: Path, state: State, inside: str | None) -> Path:
    with files.atomic(path) as file:
        torch.save({inside: state} if inside else state, file)
    return path
