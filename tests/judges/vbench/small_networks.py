"""Small random networks in the official cache layout: the real architectures, so that what runs is the real code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models.optical_flow import raft_large

SIZES: dict[str, dict[str, Any]] = {
    "clip_b32": {
        "embed_dim": 32,
        "vision_cfg": {"layers": 2, "width": 64, "head_width": 64, "patch_size": 32, "image_size": 224},
        "text_cfg": {"layers": 2, "width": 64, "heads": 1},
    },
    "clip_l14": {
        "embed_dim": 48,
        "vision_cfg": {"layers": 1, "width": 128, "head_width": 64, "patch_size": 28, "image_size": 224},
        "text_cfg": {"layers": 1, "width": 64, "heads": 1},
    },
}
DINO_WIDTH, DINO_DEPTH = 128, 2
State = dict[str, torch.Tensor]


def clip(name: str) -> State:
    """A random CLIP as it is released: matrices in half precision, three integers beside them."""
    from open_clip.model import CLIP

    torch.manual_seed(len(name))
    state = CLIP(quick_gelu=True, **SIZES[name]).state_dict()
    state = {key: loud(key, value) for key, value in state.items()}
    halves = {key: value.half() if value.ndim > 1 and "embedding" not in key else value for key, value in state.items()}
    return halves | {key: torch.tensor(224) for key in ("input_resolution", "context_length", "vocab_size")}


def loud(key: str, value: torch.Tensor) -> torch.Tensor:
    """Larger matrices than at the start of a training, so that a wrong turn anywhere shows in the features."""
    if key == "logit_scale":
        return torch.tensor(3.0)
    return (
        torch.randn_like(value) / value[0].numel() ** 0.5
        if value.ndim > 1 and "mbedding" not in key
        else value + 0.1 * torch.randn_like(value)
    )


def drawn(network: torch.nn.Module, gain: float) -> torch.nn.Module:
    """All parameters random, from numpy's frozen generator: the same numbers with every version of torch."""
    draws = np.random.RandomState(0)
    for value in network.parameters():
        size = value[0].numel() if value.ndim > 1 else 1
        value.data = torch.from_numpy(draws.standard_normal(value.shape) * gain / size**0.5).float()
    return network.eval()


def dino() -> State:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(3)
    net = VisionTransformer(img_size=224, embed_dim=DINO_WIDTH, depth=DINO_DEPTH, num_heads=DINO_WIDTH // 64, num_classes=0)
    state = {key: loud(key, value) for key, value in net.state_dict().items()}
    return state | {"pos_embed": torch.randn_like(state["pos_embed"])}


def raft() -> State:
    """Under torchvision's names; the flow is small, as a random network's is not by itself."""
    torch.manual_seed(5)
    state = raft_large(weights=None).state_dict()
    damped = {"update_block.flow_head.conv2.weight": 0.2, "update_block.flow_head.conv2.bias": 0.2}
    return {key: value * damped.get(key, 1.0) for key, value in state.items()}


def head() -> State:
    torch.manual_seed(7)
    return {"weight": torch.randn(1, 48), "bias": torch.tensor([5.0])}


def write(folder: Path) -> Path:
    """All of them below `folder`."""
    from salt_bench.judges.vbench.weights import weight

    states = {"clip_b32": clip("clip_b32"), "clip_l14": clip("clip_l14"), "dino": dino(), "raft": raft(), "laion": head()}
    for name, state in states.items():
        path = folder / weight(name).path
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path)
    return folder
