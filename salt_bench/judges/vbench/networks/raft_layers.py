"""RAFT's network (Teed & Deng 2020, arXiv 2003.12039), large, under the names that torchvision's weights have.

torchvision's own gives the same bits. It is not used because its import alone keeps 90 MB, and because between two iterations
it holds the same numbers several times; here an iteration works in place on what the recurrent unit reads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS, RADIUS = 4, 4
FEATURES, HIDDEN = 256, 128
_AROUND = (2 * RADIUS + 1) ** 2
_UP = 8  # how much smaller than the frame RAFT works


def convolution(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2)


def bent(layer: nn.Conv2d, *norms: nn.Module) -> nn.Sequential:
    return nn.Sequential(layer, *norms, nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two convolutions around a shortcut, which is projected where they stride."""

    def __init__(self, inside: int, outside: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.convnormrelu1 = bent(convolution(inside, outside, 3, stride), norm(outside))
        self.convnormrelu2 = bent(convolution(outside, outside, 3), norm(outside))
        projection = nn.Sequential(convolution(inside, outside, 1, stride), norm(outside))
        self.downsample: nn.Module = projection if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.convnormrelu2(self.convnormrelu1(x))
        return y.add_(self.downsample(x)).relu_()


class Encoder(nn.Module):
    """Frames (B, 3, H, W) in [-1, 1] to (B, 256, H / 8, W / 8)."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.convnormrelu = bent(convolution(3, 64, 7, 2), norm(64))
        self.layer1 = nn.Sequential(Residual(64, 64, 1, norm), Residual(64, 64, 1, norm))
        self.layer2 = nn.Sequential(Residual(64, 96, 2, norm), Residual(96, 96, 1, norm))
        self.layer3 = nn.Sequential(Residual(96, 128, 2, norm), Residual(128, 128, 1, norm))
        self.conv = convolution(128, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.layer3(self.layer2(self.layer1(self.convnormrelu(x)))))


class Motion(nn.Module):
    """What was found around the places that the flow (B, 2, h, w) points at, (B, 324, h, w), and the flow itself, as 126
    channels."""

    def __init__(self) -> None:
        super().__init__()
        self.convcorr1, self.convcorr2 = bent(convolution(LEVELS * _AROUND, 256, 1)), bent(convolution(256, 192, 3))
        self.convflow1, self.convflow2 = bent(convolution(2, 128, 7)), bent(convolution(128, 64, 3))
        self.conv = bent(convolution(192 + 64, HIDDEN - 2, 3))

    def forward(self, flow: Tensor, found: Tensor) -> Tensor:
        matched, moved = self.convcorr2(self.convcorr1(found)), self.convflow2(self.convflow1(flow))
        return self.conv(torch.cat([matched, moved], 1))


class Gru(nn.Module):
    """One step of a recurrent unit along one axis; see `Update` for its state."""

    def __init__(self, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.convz, self.convr, self.convq = (nn.Conv2d(3 * HIDDEN, HIDDEN, kernel, padding=padding) for _ in range(3))

    def forward(self, state: Tensor) -> None:
        """Changes the hidden channels of `state`."""
        update, reset = self.convz(state).sigmoid_(), self.convr(state).sigmoid_()
        hidden = state[:, :HIDDEN].clone()
        torch.mul(reset, hidden, out=state[:, :HIDDEN])
        new = self.convq(state).tanh_()
        torch.add((1 - update).mul_(hidden), new.mul_(update), out=state[:, :HIDDEN])


class Recurrent(nn.Module):
    """Along the rows, then along the columns."""

    def __init__(self) -> None:
        super().__init__()
        self.convgru1, self.convgru2 = Gru((1, 5)), Gru((5, 1))

    def forward(self, state: Tensor) -> None:
        self.convgru1(state)
        self.convgru2(state)


class FlowHead(nn.Module):
    """The hidden channels to a change of the flow (B, 2, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolution(HIDDEN, 256, 3), convolution(256, 2, 3)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv2(self.conv1(hidden).relu_())


class Update(nn.Module):
    """An iteration. `state` (B, 384, h, w) is the hidden channels, the context, the motion and, last, the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.motion_encoder, self.recurrent_block, self.flow_head = Motion(), Recurrent(), FlowHead()

    def forward(self, state: Tensor, found: Tensor, flow: Tensor) -> Tensor:
        """How the flow (B, 2, h, w) is to change; the state changes in place."""
        state[:, 2 * HIDDEN : -2] = self.motion_encoder(flow, found)
        state[:, -2:] = flow
        self.recurrent_block(state)
        return self.flow_head(state[:, :HIDDEN])


class Mask(nn.Module):
    """The hidden channels to how much each of 9 coarse places counts at each of 8 x 8 fine ones: (B, 576, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.convrelu, self.conv = bent(convolution(HIDDEN, 256, 3)), convolution(256, 9 * _UP**2, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv(self.convrelu(hidden)).mul_(0.25)


class Network(nn.Module):
    """All that has weights."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_encoder, self.context_encoder = Encoder(nn.InstanceNorm2d), Encoder(nn.BatchNorm2d)
        self.update_block, self.mask_predictor = Update(), Mask()


def start(context: Tensor) -> Tensor:
    """The state before the first iteration: of the context encoder's channels half is hidden at first, half stays."""
    hidden, stays = context.contiguous().split([HIDDEN, HIDDEN], 1)  # else convolutions take another way, to other last bits
    return torch.cat([hidden.tanh(), stays.relu(), torch.zeros_like(hidden)], 1)


def places(like: Tensor) -> Tensor:
    """The coordinates (B, 2, h, w), x and y, of all places of (B, C, h, w)."""
    rows, columns = (torch.arange(side, device=like.device, dtype=like.dtype) for side in like.shape[-2:])
    grid = torch.stack(torch.broadcast_tensors(columns, rows[:, None]))
    return grid[None].repeat(len(like), 1, 1, 1)


def around(pyramid: list[Tensor], coords: Tensor) -> Tensor:
    """(B, 324, h, w): of each level of `pyramid`, (B · h · w, 1, H, W) and smaller, the 9 x 9 matches around `coords`
    (B, 2, h, w), one column after the other; outside, 0."""
    batch, _, height, width = coords.shape
    offsets = torch.arange(-RADIUS, RADIUS + 1, device=coords.device, dtype=coords.dtype)
    square = torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), -1)
    centres = coords.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
    found = coords.new_empty(batch, len(pyramid), _AROUND, height, width)
    for level, matches in enumerate(pyramid):
        last = torch.tensor([matches.shape[-1] - 1, matches.shape[-2] - 1], device=coords.device)
        grid = (centres + square).mul_(2).div_(last).sub_(1)
        here = F.grid_sample(matches, grid, align_corners=True).view(batch, height, width, _AROUND)
        found[:, level] = here.permute(0, 3, 1, 2)
        centres = centres / 2
    return found.flatten(1, 2)


def enlarged(flow: Tensor, mask: Tensor) -> Tensor:
    """The flow (B, 2, h, w) at 8 times the size: each fine place is a mean of the 9 coarse ones around it, weighed by the
    softmax of `mask`."""
    batch, _, height, width = flow.shape
    weights = mask.view(batch, 1, 9, _UP, _UP, height, width).softmax(2)
    coarse = F.unfold(_UP * flow, 3, padding=1).view(batch, 2, 9, 1, 1, height, width)
    fine = (weights * coarse).sum(2)
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, _UP * height, _UP * width)
