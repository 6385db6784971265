"""AMT-S: the frame half-way between two frames (Li et al. 2023, arXiv 2304.09790), written from the paper's description.

Two networks look at the frames. One matches every place of one frame with every place of the other at an eighth of the size;
the other makes a pyramid of features. From coarse to fine, a decoder guesses the flows from the middle frame to both, and an
update looks up how well the places that they point at match, and corrects them. The finest decoder gives three guesses of each
flow, with masks and residuals; their pictures are averaged and touched up.

The released weights are licensed CC BY-NC 4.0.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks import loading
from salt_bench.judges.vbench.networks.correlation import Correlation

FILE = "amt_model/amt-s.pth"
STRIDE = 16  # what frames have to be a multiple of
CHANNELS = (20, 32, 44, 56)  # of the feature pyramid, from half the size to a sixteenth
SIDE = 20  # channels of a residual block that two of its convolutions see alone
GUESSES = 3
TIME = 0.5
LEVELS, RADIUS = 4, 3


def convolution(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.PReLU(outside))


def scaled(x: Tensor, factor: float) -> Tensor:
    """(B, C, H, W) at `factor` times the size."""
    return x if factor == 1 else F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """What lies in (B, C, H, W) where `flow` (B, 2, H, W) points, in pixels right and down; past the border, the border."""
    height, width = x.shape[-2:]
    rows, columns = (torch.arange(n, device=x.device, dtype=x.dtype) for n in (height, width))
    across = (columns + flow[:, 0]) * (2 / (width - 1)) - 1
    down = (rows[:, None] + flow[:, 1]) * (2 / (height - 1)) - 1
    return F.grid_sample(x, torch.stack([across, down], -1), padding_mode="border", align_corners=True)


class Bottleneck(nn.Module):
    """Residual block 1x1, 3x3, 1x1 with instance norms; a projected shortcut where it strides."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        middle = outside // 4
        self.conv1, self.conv2 = nn.Conv2d(inside, middle, 1), nn.Conv2d(middle, middle, 3, stride, 1)
        self.conv3 = nn.Conv2d(middle, outside, 1)
        self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride)) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in (self.conv1, self.conv2, self.conv3):
            y = F.relu(F.instance_norm(layer(y)))
        return F.relu(y + (x if self.downsample is None else F.instance_norm(self.downsample(x))))


class Matcher(nn.Module):
    """Features to match frames with: (B, 3, H, W) to (B, 84, H / 8, W / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, 2, 3)
        self.layer1 = nn.Sequential(Bottleneck(32, 32, 1), Bottleneck(32, 32, 1))
        self.layer2 = nn.Sequential(Bottleneck(32, 64, 2), Bottleneck(64, 64, 1))
        self.layer3 = nn.Sequential(Bottleneck(64, 96, 2), Bottleneck(96, 96, 1))
        self.conv2 = nn.Conv2d(96, 84, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.instance_norm(self.conv1(x)))
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class Pyramid(nn.Module):
    """Features of a frame at a half, a quarter, an eighth and a sixteenth of its size."""

    def __init__(self) -> None:
        super().__init__()
        for level, (inside, outside) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False), 1):
            stage = nn.Sequential(convolution(inside, outside, 2), convolution(outside, outside))
            self.add_module(f"pyramid{level}", stage)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.children():
            x = stage(x)
            found.append(x)
        return found


class Residual(nn.Module):
    """Five convolutions around a shortcut, the second and fourth on the last channels alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = convolution(width, width), convolution(width, width)
        self.conv2, self.conv4 = convolution(SIDE, SIDE), convolution(SIDE, SIDE)
        self.conv5, self.prelu = nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for whole, side in ((self.conv1, self.conv2), (self.conv3, self.conv4)):
            y = whole(y)
            y = torch.cat([y[:, :-SIDE], side(y[:, -SIDE:])], 1)
        return self.prelu(x + self.conv5(y))


class Decoder(nn.Module):
    """(B, inside, H, W) to (B, outside, 2H, 2W)."""

    def __init__(self, inside: int, width: int, outside: int) -> None:
        super().__init__()
        rise = nn.ConvTranspose2d(width, outside, 4, 2, 1)
        self.convblock = nn.Sequential(convolution(inside, width), Residual(width), rise)

    def forward(self, x: Tensor) -> Tensor:
        return self.convblock(x)


def head(inside: int, outside: int, hidden: int = 76) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, hidden, 3, 1, 1), nn.LeakyReLU(0.1), nn.Conv2d(hidden, outside, 3, 1, 1))


class Update(nn.Module):
    """Corrects features (B, C, H, W) and both flows (B, 4, H, W) by how well the places that they point at match.

    It works at an eighth of the frame, whatever the size of what it corrects: `factor` times that."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        matches = 2 * LEVELS * (2 * RADIUS + 1) ** 2
        self.convc1, self.conv = nn.Conv2d(matches, 64, 1), nn.Conv2d(64 + 20, 68, 3, 1, 1)
        self.convf1, self.convf2 = nn.Conv2d(4, 40, 7, 1, 3), nn.Conv2d(40, 20, 3, 1, 1)
        self.gru = head(channels + 68 + 4, 76)
        self.feat_head, self.flow_head = head(76, channels), head(76, 4)
        self._factor, self._bend = factor, nn.LeakyReLU(0.1)

    def forward(self, features: Tensor, flows: Tensor, correlation: Correlation) -> tuple[Tensor, Tensor]:
        small, flow = scaled(features, 1 / self._factor), scaled(flows, 1 / self._factor) / self._factor
        matches = self._bend(self.convc1(correlation(flow[:, :2] / (1 - TIME), flow[:, 2:] / TIME)))
        motion = self._bend(self.convf2(self._bend(self.convf1(flow))))
        motion = self._bend(self.conv(torch.cat([matches, motion], 1)))
        hidden = self.gru(torch.cat([motion, flow, small], 1))
        features = features + scaled(self.feat_head(hidden), self._factor)
        return features, flows + scaled(self.flow_head(hidden), self._factor) * self._factor


class Amt(nn.Module):
    """Two frames (B, 3, H, W) in [0, 1], H and W multiples of 16, to the one half-way between them."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = CHANNELS
        self.feat_encoder, self.encoder = Matcher(), Pyramid()
        self.decoder4 = Decoder(2 * four + 1, 2 * four, 4 + three)
        self.decoder3 = Decoder(3 * three + 4, 3 * three, 4 + two)
        self.decoder2 = Decoder(3 * two + 4, 3 * two, 4 + one)
        self.decoder1 = Decoder(3 * one + 4, 3 * one, 8 * GUESSES)
        self.update4, self.update3, self.update2 = Update(three, 1), Update(two, 2), Update(one, 4)
        pictures = 3 * GUESSES
        self.comb_block = nn.Sequential(
            nn.Conv2d(pictures, 2 * pictures, 3, 1, 1), nn.PReLU(2 * pictures), nn.Conv2d(2 * pictures, 3, 3, 1, 1)
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        mean = torch.cat([before, after], 2).mean((1, 2, 3), keepdim=True)
        frames = (before - mean, after - mean)
        correlation = Correlation(self.feat_encoder(frames[0]), self.feat_encoder(frames[1]), LEVELS, RADIUS)
        pyramids = [self.encoder(frame) for frame in frames]
        features, flows = self._coarse(pyramids)
        features, flows = self.update4(features, flows, correlation)
        for decoder, update, level in ((self.decoder3, self.update3, 2), (self.decoder2, self.update2, 1)):
            found = decoder(self._around(features, flows, [pyramid[level] for pyramid in pyramids]))
            features, flows = update(found[:, 4:], found[:, :4] + 2 * scaled(flows, 2), correlation)
        last = self.decoder1(self._around(features, flows, [pyramid[0] for pyramid in pyramids]))
        return self._merged(last, 2 * scaled(flows, 2), frames, mean)

    def _coarse(self, pyramids: list[list[Tensor]]) -> tuple[Tensor, Tensor]:
        deep = [pyramid[3] for pyramid in pyramids]
        found = self.decoder4(torch.cat([*deep, torch.full_like(deep[0][:, :1], TIME)], 1))
        return found[:, 4:], found[:, :4]

    @staticmethod
    def _around(features: Tensor, flows: Tensor, pair: list[Tensor]) -> Tensor:
        return torch.cat([features, warped(pair[0], flows[:, :2]), warped(pair[1], flows[:, 2:]), flows], 1)

    def _merged(self, last: Tensor, flows: Tensor, frames: tuple[Tensor, Tensor], mean: Tensor) -> Tensor:
        """The middle frame out of the finest decoder's 3 flows to each frame, 3 masks and 3 residuals."""
        sizes = [2 * GUESSES, 2 * GUESSES, GUESSES, 3 * GUESSES]
        to_before, to_after, masks, residuals = last.split(sizes, 1)
        pictures = []
        for k, residual in enumerate(residuals.split(3, 1)):
            mask = masks[:, k : k + 1].sigmoid()
            left = warped(frames[0], to_before[:, 2 * k : 2 * k + 2] + flows[:, :2])
            right = warped(frames[1], to_after[:, 2 * k : 2 * k + 2] + flows[:, 2:])
            pictures.append(mask * left + (1 - mask) * right + mean + residual)
        average = sum(pictures[1:], pictures[0]) / GUESSES
        return (average + self.comb_block(torch.cat(pictures, 1))).clamp(0, 1)


def load(path: Path) -> Amt:
    """The network with the weights of a file."""
    return loading.fill(loading.empty(Amt), loading.read(path, inside="state_dict"), path)
