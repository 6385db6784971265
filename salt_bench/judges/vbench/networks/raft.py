"""RAFT (Teed & Deng 2020) from the original C+T weights: a frame is encoded once, not once per pair, and only the flow of the
last iteration is brought to full size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from salt_bench.judges.vbench import weights
from salt_bench.judges.vbench.networks import loading, memory
from salt_bench.judges.vbench.networks.raft_layers import HIDDEN, LEVELS, Network, around, enlarged, places, start

ITERATIONS, SMALLEST = 20, 128
ROOM, ROWS = 1 << 30, 8
"""Bytes of a pair's matches that are kept on a CPU (720p takes 829 MB, 1080p 4.2 GB), and beyond that, rows at a time."""
_RENAMED = (
    (r"^fnet\.", "feature_encoder."),
    (r"^cnet\.", "context_encoder."),
    (r"(layer\d\.\d)\.(conv|norm)([12])\.", lambda m: f"{m[1]}.convnormrelu{m[3]}.{int(m[2] == 'norm')}."),
    (r"(encoder)\.(conv|norm)1\.", lambda m: f"{m[1]}.convnormrelu.{int(m[2] == 'norm')}."),
    (r"^((?:feature|context)_encoder)\.conv2\.", r"\1.conv."),
    (r"^update_block\.encoder\.conv([cf])([12])\.", lambda m: f"{_MOTION}.conv{ {'c': 'corr', 'f': 'flow'}[m[1]] }{m[2]}.0."),
    (r"^update_block\.encoder\.conv\.", lambda m: f"{_MOTION}.conv.0."),
    (r"^update_block\.gru\.conv([zrq])([12])\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
)
_MOTION = "update_block.motion_encoder"


@dataclass(frozen=True, eq=False)
class Encoded:
    """Frames as RAFT compares them: features and context, each (B, 256, H/8, W/8)."""

    features: torch.Tensor
    context: torch.Tensor

    def __getitem__(self, which: slice) -> Encoded:
        return Encoded(self.features[which], self.context[which])

    def then(self, other: Encoded) -> Encoded:
        if not len(other.features):
            return self  # and no copy
        return Encoded(torch.cat([self.features, other.features]), torch.cat([self.context, other.context]))


@dataclass(frozen=True, eq=False)
class Raft:
    """`model` is in evaluation."""

    model: Network

    def encode(self, frames: torch.Tensor) -> Encoded:
        """Encodes (B, 3, H, W) of 0 to 255, padded by repeating the edges to multiples of 8."""
        with torch.inference_mode():
            images = 2 * (padded(frames) / 255.0) - 1
            return Encoded(self.model.feature_encoder(images), self.model.context_encoder(images))

    def flow(self, first: Encoded, second: Encoded) -> torch.Tensor:
        """How far each pixel of the padded `first` moves to `second`: (B, 2, H, W) in pixels."""
        with torch.inference_mode():
            hidden, flow = self._refined(first, second)
            return enlarged(flow, self.model.mask_predictor(hidden))

    def _refined(self, first: Encoded, second: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """The hidden channels and the flow (B, 2, h, w) after the last iteration. All matches are gone when it returns."""
        pyramid = self._pyramid(first, second)
        state, origin = start(first.context), places(first.context)
        coords = origin
        for _ in range(ITERATIONS):
            found = around(pyramid, coords) if pyramid else self._by_rows(first, second, coords)
            coords = coords + self.model.update_block(state, found, coords - origin)
        return state[:, :HIDDEN], coords - origin

    def _pyramid(self, first: Encoded, second: Encoded) -> list[torch.Tensor]:
        """All matches, or none where they are too many to keep: they are made anew where they are looked up then, which takes
        more than twice as long."""
        batch, _, height, width = first.features.shape
        if 4 * batch * (height * width) ** 2 > ROOM and not first.features.is_cuda:
            return []
        memory.give_back()
        return matches(first.features, second.features)

    def _by_rows(self, first: Encoded, second: Encoded, coords: torch.Tensor) -> torch.Tensor:
        parts = zip(first.features.split(ROWS, 2), coords.split(ROWS, 2), strict=True)
        return torch.cat([around(matches(rows, second.features), here) for rows, here in parts], 2)


def matches(before: torch.Tensor, after: torch.Tensor) -> list[torch.Tensor]:
    """How well each place of features (B, C, h, W) matches those of (B, C, H, W): (B · h · W, 1, H, W), (…, H/2, W/2) …

    It is by far the largest thing here: to divide it by the root of C would take it twice, so the features are divided. That
    root is 16, and no bit differs."""
    scaled = (before / before.shape[1] ** 0.5).flatten(2).transpose(1, 2)
    found = [(scaled @ after.flatten(2)).view(-1, 1, *after.shape[2:])]
    for _ in range(LEVELS - 1):
        found.append(F.avg_pool2d(found[-1], 2))
    return found


def padded(frames: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) with both sides grown to multiples of 8, half on each side, edges repeated."""
    down, right = (-side % 8 for side in frames.shape[-2:])
    return F.pad(frames, (right // 2, right - right // 2, down // 2, down - down // 2), mode="replicate")


def top_mean(flow: torch.Tensor, share: float) -> list[float]:
    """For each flow (2, H, W) the mean length of its int(share · H · W) longest vectors, in pixels."""
    lengths = flow.square().sum(1).sqrt().flatten(1)
    return lengths.topk(int(share * lengths.shape[1]), dim=1, sorted=False).values.double().mean(1).tolist()


def pairs_at_once(height: int, width: int, device: str) -> int:
    """How many pairs of frames fit: the correlation of all places with all places grows with the square of the picture."""
    places = -(-height // 8) * -(-width // 8)
    budget = 400e6 if device == "cpu" else 8e9  # bytes
    return max(1, min(16, int(budget / (places**2 * 4 * 4 / 3))))


def renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The original state dict under torchvision's names; `norm3` is another name of `downsample.1`."""
    found = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if ".norm3." not in name:
            for pattern, new in _RENAMED:
                name = re.sub(pattern, new, name)
            found[name] = value
    return found


@lru_cache(maxsize=2)
def load(path: Path, device: str) -> Raft:
    """The network in `path`, in the original or in torchvision's naming, one for all who ask."""
    with weights.reading(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        return filled(state if "mask_predictor.conv.weight" in state else renamed(state), device)


def filled(state: Mapping[str, torch.Tensor], device: str = "cpu") -> Raft:
    """The network with these weights, under torchvision's names."""
    model = loading.empty(Network)
    model.load_state_dict(state, assign=True)
    return Raft(model.eval().requires_grad_(False).to(device))


def consecutive(net: Raft, before: Encoded | None, now: Encoded, share: float) -> Sequence[float]:
    """`top_mean` of the flow from each frame to the next: of `before` (one frame, or none) and then `now`."""
    first, second = (before.then(now[:-1]), now) if before else (now[:-1], now[1:])
    return top_mean(net.flow(first, second), share) if len(second.features) else []
