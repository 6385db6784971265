"""Motion smoothness: which frames are guessed from which, how far off a guess is, and parts of AMT whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_networks
import torch
from torch import Tensor

from salt_bench.judges.vbench import motion_smoothness
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.imaging_quality import ImagingQuality
from salt_bench.judges.vbench.motion_smoothness import AmtPass, MotionSmoothness, split
from salt_bench.judges.vbench.networks import amt
from salt_bench.judges.vbench.networks.correlation import Correlation

VIDEO = Video(Path("a cat-0.mp4"), frames=5, height=120, width=130, fps=8.0)


class Average(torch.nn.Module):
    """Stands for AMT: a sixth of the frame before and five of the frame after."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        self.sizes.append(tuple(before.shape))
        return (before + 5 * after) / 6


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Average:
    stand_in = Average()
    monkeypatch.setattr(amt, "load", lambda path: stand_in)
    return stand_in


def grey(*levels: int) -> np.ndarray:
    return np.stack([np.full((VIDEO.height, VIDEO.width, 3), level, np.uint8) for level in levels])


def errors(*blocks: np.ndarray) -> list[float]:
    running = AmtPass(Setup(Path())).start(VIDEO)
    for block in blocks:
        assert running.take(block)
    return running.result()["errors"].tolist()


def test_odd_frames_are_guessed_from_the_even_ones_around_them(network: Average) -> None:
    assert errors(grey(0, 200, 60, 10, 120)) == [150, 100]  # guessed 50 and 110


def test_a_guess_is_cut_down_to_a_whole_level(network: Average) -> None:
    assert errors(grey(0, 9, 11)) == [0]  # 9.17
    assert errors(grey(4, 4, 5)) == [0]  # 4.83: rounded, it would be 5


def test_an_odd_frame_without_a_frame_behind_it_is_left_out(network: Average) -> None:
    assert errors(grey(0, 200, 60, 10)) == [150]
    assert errors(grey(0, 200)) == errors(grey(0)) == errors() == []


@pytest.mark.parametrize("pixels", [1, motion_smoothness.PIXELS])
def test_blocks_and_batches_change_nothing(network: Average, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_smoothness, "PIXELS", pixels)
    film = grey(0, 200, 60, 10, 120, 7, 24)
    assert errors(film) == errors(film[:1], film[1:4], film[4:]) == errors(*(frame[None] for frame in film)) == [150, 100, 33]
    assert max(size[0] for size in network.sizes) == (1 if pixels == 1 else 3)


def test_a_static_video_is_smooth_and_an_error_counts_in_grey_levels() -> None:
    def value(*errors: float) -> float | None:
        return MotionSmoothness()(VIDEO, {AmtPass: {"errors": np.array(errors)}}).value

    assert value(0.0, 0.0) == 1
    assert value(0.0, 0.0, 153.0) == pytest.approx(0.8)  # the median is 0
    assert value(255.0) == 0
    assert value() is None


def test_frames_too_small_to_look_around_in_are_left_out(network: Average) -> None:
    small = replace(VIDEO, width=112)
    running = AmtPass(Setup(Path())).start(small)
    assert not running.take(np.zeros((5, 120, 112, 3), np.uint8))
    judged = MotionSmoothness()(small, {AmtPass: running.result()})
    assert judged.value is None
    assert "113" in judged.note
    assert not network.sizes


def test_frames_are_filled_up_evenly_and_cut_out_again(network: Average) -> None:
    assert (split(120), split(130), split(131), split(128)) == ((4, 4), (7, 7), (6, 7), (0, 0))
    film = np.random.default_rng(0).integers(0, 256, (1, 120, 130, 3)).astype(np.uint8).repeat(3, 0)
    assert errors(film) == pytest.approx([0], abs=0.6)  # a sixth and five sixths may fall just below a whole level
    assert network.sizes == [(1, 3, 128, 144)]


def test_the_fill_repeats_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    even = torch.rand(2, 3, 120, 130) * 255
    motion_smoothness.between(lambda before, after: seen.append(before) or before, even)  # type: ignore[arg-type]
    torch.testing.assert_close(seen[0][0, :, 0, 7:-7], even[0, :, 0] / 255)
    torch.testing.assert_close(seen[0][0, :, 4:-4, -1], even[0, :, :, -1] / 255)


def test_the_weights_are_not_for_commercial_use() -> None:
    assert not MotionSmoothness.commercial
    assert ImagingQuality.commercial


def test_warping_fetches_what_a_flow_points_at() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    right, down = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    got = amt.warped(x, right[None, :, None, None].expand(1, 2, 3, 4))
    torch.testing.assert_close(got[0, 0, 0], torch.tensor([1.0, 2.0, 3.0, 3.0]))
    got = amt.warped(x, down[None, :, None, None].expand(1, 2, 3, 4) / 2)
    torch.testing.assert_close(got[0, 0, :, 1], torch.tensor([3.0, 7.0, 9.0]))


def shifted(dx: int, dy: int) -> tuple[Tensor, Tensor]:
    """Features of 16 x 16 places that are all different, and the same with each place dx to the right and dy below."""
    before = torch.eye(256).view(1, 256, 16, 16)
    return before, before.roll((dy, dx), (2, 3))


def test_a_match_lies_where_the_place_has_gone() -> None:
    """1 right and 2 down is offset (4, 5) of 7 x 7, the offsets to the right being the slow ones; back it is (2, 1)."""
    still = torch.zeros(1, 2, 16, 16)
    found = Correlation(*shifted(1, 2), levels=4, radius=3)(still, still)[0, :, 8, 8] * 16
    assert found.shape == (2 * 4 * 49,)
    assert found[:49].argmax() == 4 * 7 + 5
    assert found[196 : 196 + 49].argmax() == 2 * 7 + 1
    torch.testing.assert_close(found[:49].max(), torch.tensor(1.0))
    torch.testing.assert_close(found[49:98].sum(), torch.tensor(0.25))  # the mean of 2 x 2 places


def test_flows_move_where_matches_are_looked_up() -> None:
    flow = torch.tensor([1.0, 2.0])[None, :, None, None].expand(1, 2, 16, 16)
    found = Correlation(*shifted(1, 2), levels=1, radius=3)(-flow, flow)[0, :, 8, 8]
    assert found[:49].argmax() == found[49:].argmax() == 3 * 7 + 3


def test_matches_outside_of_a_frame_are_0() -> None:
    far = torch.full((1, 2, 16, 16), 40.0)
    assert not Correlation(*shifted(0, 0), levels=4, radius=3)(far, far).any()


def tiny() -> amt.Amt:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = amt.Amt().eval()
    network.comb_block[2].weight.data.zero_()
    network.comb_block[2].bias.data.zero_()
    return network


@torch.inference_mode()
def test_brightness_passes_through() -> None:
    """Both frames brighter by a tenth: so is the guess. The networks see frames without their common mean."""
    network = tiny()
    before, after = (0.3 + 0.2 * torch.rand(1, 3, 128, 144, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    guess = network(before, after)
    assert guess.shape == before.shape
    torch.testing.assert_close(network(before + 0.1, after + 0.1), guess + 0.1, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_pairs_of_a_batch_do_not_see_each_other() -> None:
    network = tiny()
    frames = torch.rand(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    both = network(frames[:-1], frames[1:])
    torch.testing.assert_close(both[1:], network(frames[1:2], frames[2:]), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_without_networks_a_guess_is_the_mean_of_both_frames() -> None:
    """All weights 0: no flow, masks of a half, no residual."""
    network = tiny()
    for parameter in network.parameters():
        parameter.data.zero_()
    before, after = torch.full((1, 3, 128, 128), 0.2), torch.full((1, 3, 128, 128), 0.8)
    torch.testing.assert_close(network(before, after), torch.full((1, 3, 128, 128), 0.5))
    network.decoder1.convblock[2].bias.data[12:15] = 100.0
    torch.testing.assert_close(network(before, after), before)  # the masks are the share of the frame before


@torch.inference_mode()
def test_a_guess_is_the_known_one() -> None:
    """A drawn network's guess, written down when the same code agreed with the official numbers on the real shapes. Flows of
    several pixels, and frames of different brightness, let every part have its say."""
    network = small_networks.drawn(amt.Amt(), 0.7)
    for last in (network.decoder1.convblock[2], network.comb_block[2]):  # else most pixels end at 0 or 1
        last.weight.data *= 0.1
        last.bias.data *= 0.1
    before, after = np.random.RandomState(1).random_sample((2, 1, 3, 128, 144)) * 0.5 + 0.25
    guess = network(torch.from_numpy(before).float(), torch.from_numpy(1.3 * after).float())[0]
    assert (guess.mean().item(), guess.std().item()) == pytest.approx((0.606403, 0.104586), abs=2e-5)
    pixels = [*guess[:, 64, 70].tolist(), guess[1, 5, 9].item(), guess[0, 120, 133].item()]
    assert pixels == pytest.approx([0.7073, 0.67106, 0.68861, 0.28974, 0.65316], abs=1e-4)
