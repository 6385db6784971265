"""Wan's decoder, a latent frame after the other: what its causal convolutions remember is passed, not kept in the network.

The stock class keeps it in lists of tensors, strings and None, which no compiler can follow. Here a latent frame and two frames
per convolution come in, and a frame's pictures and the next two frames per convolution go out: one graph serves all frames but
the first. The weights are the stock network's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PAST = 2
"""Frames that a convolution of three frames remembers; before the video there are zeros."""


class Pasts:
    """The past of every convolution, in the order in which they run: `known` is read, `new` is written."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        self.known: Iterator[Tensor] = iter(known)
        self.new: list[Tensor] = []

    def conv(self, conv: Any, x: Tensor) -> Tensor:
        """The causal convolution `conv` of x (B, C, T, H, W) behind its past."""
        past = next(self.known, None)
        both = torch.cat([x.new_zeros(*x.shape[:2], PAST, *x.shape[3:]) if past is None else past, x], 2)
        self.new.append(both[:, :, -PAST:].clone())
        return F.conv3d(both, conv.weight, conv.bias, padding=(0, *(n // 2 for n in conv.kernel_size[1:])))

    def pass_by(self, x: Tensor) -> None:
        """A convolution that does not see x: its past stays empty."""
        self.new.append(x.new_zeros(*x.shape[:2], PAST, *x.shape[3:]))


class Step:
    """The decoder of an AutoencoderKLWan for one latent frame (B, C, 1, H, W): pictures (B, 3, t, 8H, 8W), t = 1 for the first
    frame and 4 for all others, and the past for the next."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.later: Any = self.run

    def compile(self) -> None:
        """Fuses what follows the first frame, when it first runs; convolutions then want channels last."""
        for parameter in self.vae.parameters():
            layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(parameter.ndim)
            if layout:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        self.later = torch.compile(self.run, dynamic=False, fullgraph=True)

    def __call__(self, x: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.later(x, past) if past else self.run(x, past)

    def run(self, x: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        pasts, decoder = Pasts(past), self.vae.decoder
        x = pasts.conv(decoder.conv_in, self.vae.post_quant_conv(x))
        middle = decoder.mid_block
        x = residual(middle.resnets[0], x, pasts)
        for attention, block in zip(middle.attentions, middle.resnets[1:], strict=True):
            x = residual(block, attention(x), pasts)
        for up in decoder.up_blocks:
            for block in up.resnets:
                x = residual(block, x, pasts)
            if up.upsamplers is not None:
                x = enlarged(up.upsamplers[0], x, pasts, first=not past)
        return pasts.conv(decoder.conv_out, F.silu(decoder.norm_out(x))), pasts.new


def residual(block: Any, x: Tensor, pasts: Pasts) -> Tensor:
    hidden = pasts.conv(block.conv1, F.silu(block.norm1(x)))
    hidden = pasts.conv(block.conv2, F.silu(block.norm2(hidden)))
    short = block.conv_shortcut
    return hidden + (F.conv3d(x, short.weight, short.bias) if isinstance(short, torch.nn.Conv3d) else x)


def enlarged(up: Any, x: Tensor, pasts: Pasts, first: bool) -> Tensor:
    """Twice the height and width, and twice the frames where the block does that; the first latent frame stays one."""
    if up.mode == "upsample3d" and first:
        pasts.pass_by(x)
    elif up.mode == "upsample3d":
        x = pasts.conv(up.time_conv, x).unflatten(1, (2, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
    frames = up.resample(x.transpose(1, 2).flatten(0, 1))
    return frames.unflatten(0, (len(x), -1)).transpose(1, 2)


class Streamed:
    """One video: latents (B, C, f, H, W) in, their pictures (B, 3, t, H, W) out, as far as [-1, 1] goes."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.past: list[Tensor] = []

    def __call__(self, latents: Tensor) -> Tensor:
        made = []
        for frame in latents.split(1, 2):
            pictures, self.past = self.step(frame, self.past)
            made.append(pictures)
        return torch.cat(made, 2)
