"""The decoder that takes latents as they come gives the stock decoder's frames, however they come."""

from __future__ import annotations

from pathlib import Path

import pipeline
import pytest
import torch
from torch import Tensor

from salt_train.codecs.wan_vae import WanVAE, WanVAEWeights

CODEC = WanVAE("", frames=25, height=16, width=32)


@pytest.fixture(scope="module")
def weights() -> WanVAEWeights:
    torch.manual_seed(0)
    vae = pipeline.vae()
    for parameter in vae.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return WanVAEWeights(CODEC, vae.eval().requires_grad_(False))


def latents() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, *CODEC.shape())


@pytest.mark.parametrize("pieces", [(7,), (1,) * 7, (3, 3, 1), (1, 3, 3)], ids=str)
def test_the_whole_and_its_pieces(weights: WanVAEWeights, pieces: tuple[int, ...]) -> None:
    whole, decode = weights.decode(latents()), weights.stream()
    parts = [decode(piece) for piece in latents().split(pieces, 2)]
    assert [part.shape[1] for part in parts] == [4 * n - (3 if i == 0 else 0) for i, n in enumerate(pieces)]
    found = torch.cat(parts, 1)
    assert (found.shape, found.dtype) == (whole.shape, torch.uint8)
    assert int((found.int() - whole.int()).abs().max()) <= 1
    assert float((found != whole).float().mean()) < 1e-3
    assert float(whole.float().std()) > 5


def test_two_videos_do_not_know_of_each_other(weights: WanVAEWeights, tmp_path: Path) -> None:
    one, other = weights.stream(), weights.stream()
    first, second = latents().split((3, 4), 2)
    expected = weights.decode(latents())
    one(first)
    other(second[:, :, :3])
    assert int((one(second).int() - expected[:, 9:].int()).abs().max()) <= 1


def test_frames_in_so_many_latents() -> None:
    assert [CODEC.frames_of(n) for n in (0, 1, 2, 3, 7)] == [0, 1, 5, 9, 25]
