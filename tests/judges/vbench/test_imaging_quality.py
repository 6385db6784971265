"""Imaging quality: what MUSIQ sees of a frame, and what is made of its scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_networks
import torch
from torch import Tensor

from salt_bench.composites.rows import SCALE
from salt_bench.errors import WrongUse
from salt_bench.judges.vbench import imaging_quality
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.imaging_quality import ImagingQuality, MusiqLonger, MusiqShorter, MusiqWhole, brought_down
from salt_bench.judges.vbench.networks import musiq

VIDEO = Video(Path("a cat-0.mp4"), frames=3, height=4, width=6, fps=8.0)


class Brightness(torch.nn.Module):
    """Stands for MUSIQ: the score is the mean pixel in percent."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        return images.mean((1, 2, 3)) * 100


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Brightness:
    stand_in = Brightness()
    monkeypatch.setattr(musiq, "load", lambda path: stand_in)
    return stand_in


def grey(*levels: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.stack([np.full((*size, 3), level, np.uint8) for level in levels])


def test_a_video_is_the_mean_of_its_frames_and_a_set_a_hundredth(network: Brightness) -> None:
    running = MusiqLonger(Setup(Path())).start(VIDEO)
    assert running.take(grey(0, 51))
    assert running.take(grey(204))
    found = running.result()
    np.testing.assert_allclose(found["scores"], [0, 20, 80], rtol=1e-6)
    judged = ImagingQuality()(VIDEO, {MusiqLonger: found})
    assert judged.value == pytest.approx(100 / 3)  # the median is 20
    assert judged.weight == 1
    assert SCALE[ImagingQuality.name] == 0.01


def test_a_network_sees_few_frames_at_once(network: Brightness) -> None:
    running = MusiqLonger(Setup(Path())).start(VIDEO)
    running.take(grey(*range(10)))
    assert [size[0] for size in network.sizes] == [4, 4, 2]
    np.testing.assert_allclose(running.result()["scores"], np.arange(10) / 2.55, rtol=1e-5, atol=1e-6)


def test_a_video_without_frames_is_left_out(network: Brightness) -> None:
    judged = ImagingQuality()(VIDEO, {MusiqLonger: MusiqLonger(Setup(Path())).start(VIDEO).result()})
    assert judged.value is None
    assert judged.note


@pytest.mark.parametrize(
    ("mode", "size", "wanted"),
    [
        ("longer", (300, 1024), (150, 512)),
        ("longer", (561, 400), (511, 365)),  # 512 / 561 * 561 is below 512 in floats
        ("longer", (512, 300), (512, 300)),
        ("shorter", (600, 1200), (512, 1024)),
        ("shorter", (300, 1024), (300, 1024)),
        ("shorter_centercrop", (600, 1200), (512, 512)),
        ("shorter_centercrop", (300, 1024), (300, 1024)),
        ("None", (600, 1200), (600, 1200)),
    ],
)
def test_the_modes_bring_frames_down(mode: imaging_quality.Mode, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert tuple(brought_down(torch.zeros(1, 3, *size), mode).shape[2:]) == wanted


def test_frames_are_brought_down_by_sampling_and_stay_floats() -> None:
    """From 1024 to 512, each pixel is the mean of two; antialiasing would mix in their neighbours."""
    row = torch.zeros(1, 3, 4, 1024)
    row[..., 10] = 255
    got = brought_down(row, "longer")[0, 0, 0]
    assert got[5] == 127.5
    assert got[[4, 6]].tolist() == [0, 0]


def test_the_crop_is_in_the_middle() -> None:
    row = torch.arange(1024.0).expand(1, 3, 512, 1024).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert brought_down(row, "shorter_centercrop")[0, 0, 0, [0, -1]].tolist() == [256, 767]


def test_the_mode_chooses_the_pass_and_another_is_refused() -> None:
    assert ImagingQuality.passes == ImagingQuality().passes == (MusiqLonger,)
    assert ImagingQuality("shorter").passes == (MusiqShorter,)
    assert len({kind.name for kind in imaging_quality._PASSES.values()}) == 4
    with pytest.raises(WrongUse, match="longer, shorter, shorter_centercrop, None, got 'taller'"):
        ImagingQuality("taller")  # type: ignore[arg-type]


def test_the_pass_applies_its_mode(network: Brightness) -> None:
    for kind in (MusiqLonger, MusiqShorter, MusiqWhole):
        kind(Setup(Path())).start(VIDEO).take(grey(9, size=(600, 1200)))
    assert [size[2:] for size in network.sizes] == [(256, 512), (512, 1024), (600, 1200)]


def test_three_sizes_by_the_longer_side_and_small_images_grow() -> None:
    assert [tuple(x.shape[2:]) for x in musiq.pyramid(torch.zeros(1, 3, 300, 512))] == [(131, 224), (225, 384), (300, 512)]
    cut = [tuple(x.shape[2:]) for x in musiq.pyramid(torch.zeros(1, 3, 310, 512))]
    assert cut[:2] == [(136, 224), (232, 384)], "135.6 and 232.5, whose half goes to the even number"
    assert [tuple(x.shape[2:]) for x in musiq.pyramid(torch.zeros(1, 3, 112, 56))] == [(224, 112), (384, 192), (112, 56)]


def test_the_pyramid_is_cubic() -> None:
    """An edge that grows overshoots: a linear interpolation stays between 0 and 1."""
    edge = torch.zeros(1, 1, 112, 112)
    edge[..., 56:] = 1
    grown = musiq.pyramid(edge)[0]
    assert grown.max() == pytest.approx(1 + 0.10546875, abs=1e-5)  # 0.75 * (1.25^3 - 5 * 1.25^2 + 8 * 1.25 - 4) = 27/256


def test_an_image_is_filled_up_on_all_sides_and_cut_row_by_row() -> None:
    image = torch.arange(1.0, 41 * 60 + 1).reshape(1, 1, 41, 60).expand(1, 3, 41, 60)
    cut = musiq.patches(image)
    assert cut.shape == (1, 2, 2, 3, 32, 32)
    assert (cut[0, 0, 0, 0, 10] == 0).all()
    assert cut[0, 0, 0, 0, 11, 1:3].tolist() == [0, 1]  # 11 of 23 rows above, 2 of 4 columns on the left
    assert cut[0, 0, 1, 0, 11, 0] == 31
    assert cut[0, 1, 0, 0, 0, 2] == 60 * 21 + 1


def test_patches_take_their_places_on_a_grid_of_ten() -> None:
    assert musiq.places(1, 5).tolist() == [0, 2, 4, 6, 8]
    assert musiq.places(3, 1).tolist() == [0, 30, 60]
    assert musiq.places(2, 12).tolist()[-12:] == [50 + column for column in (0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9)]


def test_filters_are_standardised_with_the_unbiased_deviation() -> None:
    layer = musiq.StandardConv(1, 1, 2)
    layer.weight.data = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    got = layer(torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]))[0, 0, 0, 0].item()
    assert got == pytest.approx(-2 / (np.std([1, 2, 3, 6], ddof=1) + 1e-5), rel=1e-5)


def test_an_even_window_that_strides_pads_below() -> None:
    """TensorFlow's "same": a 7 x 7 window that steps by 2 over 32 pixels has 2 zeros above and 3 below."""
    padded = musiq.same(torch.ones(1, 1, 32, 32), 7, 2)
    assert padded.shape == (1, 1, 37, 37)
    assert padded[0, 0, :, 20].tolist() == [0] * 2 + [1] * 32 + [0] * 3


def small() -> musiq.Musiq:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = musiq.Musiq(layers=1)
        for parameter in network.parameters():
            parameter.data.normal_(0, 0.05)
    return network.eval()


@torch.inference_mode()
def test_a_token_reads_its_patch_with_the_channels_last() -> None:
    network, seen = small(), []
    network.block1.register_forward_hook(lambda module, given, made: seen.extend((given[0], made)))
    network.embedding.weight.data.zero_()
    network.embedding.bias.data.zero_()
    cut = torch.rand(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network.token(cut)
    channel = int(seen[1][:, :, 3, 5].amin(0).argmax())  # one that says something of both patches
    assert seen[1][:, channel, 3, 5].min() > 0
    network.embedding.weight.data[0, (3 * 8 + 5) * 256 + channel] = 1
    seen.clear()
    token = network.token(cut)
    torch.testing.assert_close(token[0, :, 0], seen[1][:, channel, 3, 5])
    assert seen[0].min() >= 0
    assert seen[0].max() > 0


@torch.inference_mode()
def test_images_are_scored_one_by_one() -> None:
    network = small()
    images = torch.rand(2, 3, 40, 70, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(network(images), torch.cat([network(images[:1]), network(images[1:])]))


@torch.inference_mode()
def test_tokens_are_told_where_they_lie_and_at_which_scale() -> None:
    network, seen = small(), []
    block = network.transformer_encoder.transformer["encoderblock_0"]
    block.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network.token = lambda cut: torch.zeros(*cut.shape[:2], musiq.WIDTH)  # type: ignore[method-assign]
    network(torch.zeros(1, 3, 32, 64))
    encoder, (x,) = network.transformer_encoder, seen
    where, scale = encoder.posembed_input["position_emb"][0], encoder.scaleembed_input["scale_emb"]
    assert x.shape[1] == 1 + 4 * 7 + 6 * 12 + 1 * 2
    torch.testing.assert_close(x[0, 0], encoder.cls[0, 0])
    torch.testing.assert_close(x[0, 1 + 7 + 3], where[20 + 4] + scale[0])  # row 1 of 4, column 3 of 7
    torch.testing.assert_close(x[0, -1], where[5] + scale[2])


@torch.inference_mode()
def test_scores_are_the_known_ones() -> None:
    """A drawn network's, written down when the same code agreed with the official numbers on the real shapes: of noise, of
    noise that is darker and weaker, and of noise on one half of a grey image."""
    images = torch.from_numpy(np.random.RandomState(1).random_sample((1, 3, 50, 70))).float().repeat(3, 1, 1, 1)
    images[1] *= 0.2
    images[2, :, :, 35:] = 0.5
    scores = small_networks.drawn(musiq.Musiq(layers=2), 2.0)(images)
    assert scores.tolist() == pytest.approx([9.61511, 9.40119, 8.98547], abs=2e-4)


def test_norms_keep_off_zero_by_the_known_amounts() -> None:
    network = small()
    block, encoder = network.block1, network.transformer_encoder
    assert network.gn_root.eps == 1e-6
    assert {norm.eps for norm in (block.gn1, block.gn2, block.gn3, block.gn_proj)} == {1e-4}
    layer = encoder.transformer["encoderblock_0"]
    assert {norm.eps for norm in (layer.norm1, layer.norm2, encoder.encoder_norm)} == {1e-6}
    assert (musiq.LAYERS, musiq.HEADS) == (14, 6)
