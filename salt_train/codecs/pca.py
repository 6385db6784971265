"""A linear codec: blocks of space and time, projected on their principal components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from salt_bench import record
from salt_bench.worlds.base import World


@dataclass(frozen=True)
class PCACodec:
    """Frames ↔ latents. Blocks of `time`×`space`×`space` pixels keep `channels` components, half-whitened (divided by λ^¼), so
    that coarse channels stay louder than fine ones. Fitted on `clips` true videos of the world; deterministic up to the
    linear algebra library, which is why the fitted numbers ship with the package."""

    world: World
    channels: int = 20
    time: int = 2
    space: int = 4
    clips: int = 1024

    def __post_init__(self) -> None:
        record.at_least(self, channels=1, time=1, space=1, clips=1)

    def shape(self) -> tuple[int, int, int, int]:
        """(C, F, H, W) of a latent."""
        w = self.world
        return (self.channels, w.frames // self.time, w.height // self.space, w.width // self.space)

    @property
    def fps(self) -> float:
        return self.world.fps

    def frames_of(self, latents: int) -> int:
        """Frames in the first so many latent frames."""
        return self.time * latents

    def latent_from(self, frame: int) -> int:
        """The first latent frame that begins at `frame` or later."""
        return -(-frame // self.time)


class PCAWeights(torch.nn.Module):
    """The fitted codec. Frames (B, T, H, W, 3) uint8 ↔ latents (B, C, F, H, W) float32."""

    mean: Tensor  # (block,)
    basis: Tensor  # (channels, block), orthonormal rows
    scale: Tensor  # (channels,): λ^¼
    std: Tensor  # (channels,): standard deviation of a latent channel

    def __init__(self, codec: PCACodec, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.codec = codec
        for name in ("mean", "basis", "scale", "std"):
            self.register_buffer(name, tensors[name])

    def encode(self, frames: Tensor) -> Tensor:
        return ((_blocks(frames, self.codec) - self.mean) @ self.basis.T / self.scale).movedim(-1, 1).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3), clipped and rounded."""
        blocks = latents.movedim(1, -1) * self.scale @ self.basis + self.mean
        return _unblocks(blocks, self.codec).mul(255).round().clamp(0, 255).to(torch.uint8)

    def stream(self) -> Callable[[Tensor], Tensor]:
        """A decoder that takes one video's latents as they come; here every latent frame is decoded by itself."""
        return self.decode

    def bytes(self) -> bytes:
        """The fitted numbers as a safetensors file."""
        return save({k: v.contiguous() for k, v in self.state_dict().items()})


def fit(codec: PCACodec) -> PCAWeights:
    """Principal components of true blocks, by eigen-decomposition in float64; a component's largest entry is positive."""
    prompts = codec.world.prompts("train")[: codec.clips]
    blocks = _blocks(torch.from_numpy(codec.world.render(prompts, 0)), codec).flatten(0, -2).double().numpy()
    mean = blocks.mean(0)
    values, vectors = np.linalg.eigh(np.cov(blocks.T, bias=True))
    values, basis = values[::-1][: codec.channels], vectors.T[::-1][: codec.channels]
    basis = basis * np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(1)])[:, None]
    scale = values**0.25
    found = {"mean": mean, "basis": basis, "scale": scale, "std": np.sqrt(values) / scale}
    return PCAWeights(codec, {k: torch.from_numpy(np.ascontiguousarray(v)).float() for k, v in found.items()})


def load(codec: PCACodec, path: Path) -> PCAWeights:
    """The fitted numbers in `path`.

    Raises ValueError where the file is damaged or not a codec of this shape."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); delete it and it is fitted again") from None
    block = codec.time * codec.space**2 * 3
    if set(tensors) != {"mean", "basis", "scale", "std"} or tuple(tensors["basis"].shape) != (codec.channels, block):
        raise ValueError(f"{path} is no codec with {codec.channels} components of {block} values; fit it again")
    return PCAWeights(codec, tensors)


def _blocks(frames: Tensor, codec: PCACodec) -> Tensor:
    """(B, T, H, W, 3) → (B, F, h, w, block) in [0, 1]."""
    b, t, h, w, c = frames.shape
    ct, cs = codec.time, codec.space
    x = frames.reshape(b, t // ct, ct, h // cs, cs, w // cs, cs, c).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(b, t // ct, h // cs, w // cs, ct * cs * cs * c).float() / 255


def _unblocks(blocks: Tensor, codec: PCACodec) -> Tensor:
    b, f, h, w, _ = blocks.shape
    ct, cs = codec.time, codec.space
    x = blocks.reshape(b, f, h, w, ct, cs, cs, 3).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(b, f * ct, h * cs, w * cs, 3)
