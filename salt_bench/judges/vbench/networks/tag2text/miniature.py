"""A small random Tag2Text with the names and the layout of the released file: for tests and for smoke runs without weights."""

from __future__ import annotations

from pathlib import Path

import torch

from salt_bench.judges.vbench.networks.tag2text.model import Shape, Tag2Text

SMALL = Shape(
    embed=8,
    depths=(1, 1, 2, 1),
    heads=(1, 2, 4, 8),
    tags=8,
    vocabulary=130,
    places=40,
    encoder_depth=2,
    decoder_depth=2,
    text_width=64,
    text_heads=1,
    text_inner=64,
)


def miniature(seed: int, shape: Shape = SMALL) -> Tag2Text:
    """A random network. Tables and tag vectors would start as zeros, which hide a wrong order."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Tag2Text(shape)
        for name, value in network.named_parameters():
            if name.endswith("bias_table") or name.startswith("fc."):
                torch.nn.init.normal_(value, std=0.5)
            if name.endswith("word_embeddings.weight"):
                value.data *= 0.15  # else it is too sure of its next word for beams to differ
    return network.eval().requires_grad_(False)


def write(path: Path, seed: int = 0) -> None:
    """Writes a miniature where `checkpoint.load` looks for the released weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": miniature(seed).state_dict()}, path)


def write_tags(path: Path, shape: Shape = SMALL) -> None:
    """A list of as many tags as the miniature has."""
    words = ("red", "cat", "street", "picture")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(words[n % len(words)] for n in range(shape.tags)) + "\n", encoding="utf-8")
