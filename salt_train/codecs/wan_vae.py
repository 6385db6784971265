"""The VAE of Wan 2.1: 4 frames and 8×8 pixels to a latent of 16 channels, the first frame alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from salt_bench import record
from salt_bench.errors import UserError
from salt_train import published
from salt_train.codecs.store import Store, key
from salt_train.codecs.streamed import Step, Streamed


@dataclass(frozen=True)
class WanVAE:
    """The VAE of a pipeline folder, for clips of `frames` at `height`×`width`. n latent frames are 4n - 3 frames."""

    source: str
    frames: int = 81
    height: int = 480
    width: int = 832
    fps: float = 16.0
    channels: int = 16
    time: int = 4
    space: int = 8

    def __post_init__(self) -> None:
        record.at_least(self, frames=1, height=1, width=1, channels=1, time=1, space=1)
        record.positive(self, "fps")
        if self.frames % self.time != 1 or self.height % (2 * self.space) or self.width % (2 * self.space):
            raise ValueError(
                f"Wan's clips have 4n + 1 frames and sides that 16 divides, got {self.frames} of {self.height}×{self.width}"
            )

    def shape(self) -> tuple[int, int, int, int]:
        """(C, F, H, W) of a latent."""
        frames = (self.frames - 1) // self.time + 1
        return (self.channels, frames, self.height // self.space, self.width // self.space)

    def frames_of(self, latents: int) -> int:
        """Frames in the first so many latent frames: the first is one frame alone."""
        return max(0, self.time * latents - self.time + 1)

    def latent_from(self, frame: int) -> int:
        """The first latent frame that begins at `frame` or later: 0, then 1, 5, 9 …"""
        return -(-(frame + self.time - 1) // self.time) if frame else 0


class WanVAEWeights(torch.nn.Module):
    """The network, with latents of about unit variance. Frames (B, T, H, W, 3) uint8 ↔ latents (B, C, F, H, W) float32."""

    std: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, codec: WanVAE, vae: Any) -> None:
        super().__init__()
        self.codec, self.vae, self.store, self.step = codec, vae, Store("latents"), Step(vae)
        self.register_buffer("std", torch.ones(codec.channels), persistent=False)
        for name, values in (("mean", vae.config.latents_mean), ("scale", vae.config.latents_std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1, 1), persistent=False)

    def encode(self, frames: Tensor) -> Tensor:
        """The mean of the posterior, normalised. A video is encoded once for all runs, and kept on disk (`store`).

        Raises UserError for videos of another length or size."""
        wanted = (self.codec.frames, self.codec.height, self.codec.width)
        if tuple(frames.shape[1:4]) != wanted:
            said = (f"{t} frames of {h}×{w}" for t, h, w in (wanted, frames.shape[1:4]))
            raise UserError("a video for this codec has {}, got {}; cut and scale it first".format(*said))
        return torch.stack([self._kept(video, as_floats) for video in frames])

    def beginning(self, picture: Tensor) -> Tensor:
        """The latents (C, F, H, W) of a clip that begins with `picture`, uint8 (H, W, 3) of the clip's size, and is grey from
        then on: what image-to-video networks are told of it. Kept like a video's."""
        frames = self.codec.frames
        return self._kept(picture[None], lambda first: F.pad(as_floats(first), (0, 0, 0, 0, 0, frames - 1)), f"begins {frames}")

    def _kept(self, video: Tensor, floats: Callable[[Tensor], Tensor], *marks: str) -> Tensor:
        """The latents of `floats(video)`, on disk under the video's own digest and the `marks` of what was made of it."""
        pixels = hashlib.sha256(video.cpu().contiguous().numpy().data).hexdigest()
        name = key(pixels, str(tuple(video.shape)), self.digest, *marks)
        found = self.store.get(name)
        if found is None:
            found = self._encoded(floats(video[None]))[0].cpu()
            self.store.put(name, found)
        return found.to(video.device)

    @cached_property
    def digest(self) -> str:
        return published.digest(self.codec.source, published.VAE)

    def _encoded(self, x: Tensor) -> Tensor:
        """The normalised latents of x (B, 3, T, H, W) in [-1, 1]."""
        with torch.no_grad():
            return (self.vae.encode(x).latent_dist.mode() - self.mean) / self.scale

    def decode(self, latents: Tensor) -> Tensor:
        """uint8 (B, T, H, W, 3), clipped and rounded."""
        with torch.no_grad():
            return pixels(self.vae.decode((latents * self.scale + self.mean).to(self.vae.dtype)).sample)

    def stream(self) -> Callable[[Tensor], Tensor]:
        """A decoder of one video that takes its latents (B, C, f, H, W) as they come, and gives their frames."""
        streamed = Streamed(self.step)

        def decode(latents: Tensor) -> Tensor:
            with torch.no_grad():
                return pixels(streamed((latents * self.scale + self.mean).to(self.vae.dtype)))

        return decode


def as_floats(frames: Tensor) -> Tensor:
    """uint8 (B, T, H, W, 3) to (B, 3, T, H, W) in [-1, 1]."""
    return frames.movedim(-1, 1).float() / 127.5 - 1


def pixels(x: Tensor) -> Tensor:
    """(B, 3, T, H, W) in [-1, 1], as far as it goes, to uint8 (B, T, H, W, 3)."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).contiguous()


def load(codec: WanVAE) -> WanVAEWeights:
    """The network in the codec's folder.

    Raises UserError where it is not there."""
    from diffusers import AutoencoderKLWan

    return WanVAEWeights(codec, published.load(AutoencoderKLWan, codec.source, published.VAE, use_safetensors=True).eval())
