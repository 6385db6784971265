"""A small random GRiT with the names and the layout of the released file: for tests and for smoke runs without weights."""

from __future__ import annotations

from pathlib import Path

import torch

from salt_bench.judges.vbench.networks.grit.boxes import STAGES
from salt_bench.judges.vbench.networks.grit.model import Grit, Shape
from salt_bench.judges.vbench.networks.grit.text import END

SMALL = Shape(
    width=32,
    heads=2,
    inner=64,
    reaches=(14, 20),
    channels=64,
    box=32,
    vocabulary=128,
    places=64,
    text_depth=2,
    text_width=64,
    text_heads=1,
    text_inner=64,
)


def miniature(seed: int, shape: Shape = SMALL) -> Grit:
    """A random network that sees a few things in a frame and says little about them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Grit(shape)
        for name, value in network.named_parameters():
            if "pos" in name:  # tables start as zeros, which would hide a wrong order
                torch.nn.init.normal_(value, std=0.5)
    _tuned(network.state_dict())
    return network.eval().requires_grad_(False)


def _tuned(state: dict[str, torch.Tensor]) -> None:
    """Found by trial: without these a random network sees hundreds of things in every frame, and never ends a sentence."""
    state["proposal_generator.centernet_head.agn_hm.weight"] *= 20
    state["proposal_generator.centernet_head.bbox_pred.bias"] += 4
    state["roi_heads.text_decoder.textual.embedding.words.weight"] *= 0.3
    state["roi_heads.text_decoder.textual.output.bias"][END] += 3
    for stage in range(len(STAGES)):
        state[f"roi_heads.box_predictor.{stage}.cls_score.bias"][0] -= 0.6


def write(path: Path, seed: int = 0) -> None:
    """Writes a miniature where `checkpoint.load` looks for the released weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": miniature(seed).state_dict()}, path)
