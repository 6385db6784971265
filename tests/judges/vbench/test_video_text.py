"""ViCLIP's two vectors and their cosine; both towers against CLIP as open_clip has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from salt_bench.composites.rows import SCALE
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.networks import viclip
from salt_bench.judges.vbench.overall_consistency import OverallConsistency
from salt_bench.judges.vbench.resizing import CLIP, centre, normalised, resize, short
from salt_bench.judges.vbench.temporal_style import TemporalStyle
from salt_bench.judges.vbench.video_text import ViclipText, ViclipVideo, fit, prepared

VIDEO = Video(Path("a cat-0.mp4"), frames=17, height=100, width=150, fps=8.0, text="a cat")
WIDTH = 128


class Recorder(torch.nn.Module):
    """Stands for a tower: keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return torch.full((1, 768), float(len(self.seen)))


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    stand_in = Recorder()
    monkeypatch.setattr(viclip, "load_video", lambda path: stand_in)
    monkeypatch.setattr(viclip, "load_text", lambda path: stand_in)
    return stand_in


def noise(frames: int, height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (frames, 3, height, width), generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("size", [(100, 150), (480, 271), (224, 224), (225, 300)])
def test_frames_are_resized_as_bytes(size: tuple[int, int]) -> None:
    """Bit for bit torchvision's bicubic on uint8; the float path is off by a lot where it overshoots."""
    from torchvision.transforms.functional import InterpolationMode, center_crop
    from torchvision.transforms.functional import resize as official

    x = noise(2, *size)
    wanted = center_crop(official(x.byte(), 224, InterpolationMode.BICUBIC, antialias=False), [224, 224])
    torch.testing.assert_close(prepared(x), normalised(wanted.float() / 255, CLIP), atol=0, rtol=0)
    if min(size) != 224:
        floats = normalised(centre(resize(x, short(size, 224), "bicubic"), 224) / 255, CLIP)
        assert (prepared(x) - floats).abs().max() > 0.1


def test_eight_frames_from_the_middles_in_order(tower: Recorder) -> None:
    one = ViclipVideo(Setup(Path()))
    assert one.chosen(VIDEO) == (0, 2, 4, 6, 8, 10, 12, 15)
    running = one.start(VIDEO)
    frames = np.zeros((8, 224, 224, 3), np.uint8)
    frames[:] = np.arange(8)[:, None, None, None] * 20
    assert running.take(frames[:3])
    assert running.take(frames[3:])
    assert running.result()["vector"].shape == (768,)
    (clip,) = tower.seen
    assert clip.shape == (1, 3, 8, 224, 224)
    green = (clip[0, 1, :, 7, 9] * CLIP[1][1] + CLIP[0][1]) * 255
    torch.testing.assert_close(green, torch.arange(8.0) * 20, atol=1e-3, rtol=0)


def test_a_text_is_read_once_and_no_frame_is_seen(tower: Recorder) -> None:
    one = ViclipText(Setup(Path()))
    assert one.chosen(VIDEO) == ()
    found = [one.start(replace(VIDEO, text=text)).result()["vector"][0] for text in ("a cat", "a dog", "a cat")]
    assert found == [1, 2, 1]
    assert [tokens.shape for tokens in tower.seen] == [(1, 32)] * 2
    assert one.reads(VIDEO) == "a cat"
    assert ViclipVideo(Setup(Path())).reads(VIDEO) == ""


def test_a_text_is_clip_s_and_a_long_one_still_ends() -> None:
    assert viclip.tokenize("a cat")[0, :5].tolist() == [49406, 320, 2368, 49407, 0]
    long = viclip.tokenize("cat " * 99)[0]
    assert long.shape == (32,)
    assert long[-1] == 49407
    assert (long[1:-1] == 2368).all()


def test_the_cosine_is_neither_clamped_nor_scaled() -> None:
    def cosine(video: list[float], text: list[float]) -> float | None:
        found = {ViclipVideo: {"vector": np.array(video, np.float32)}, ViclipText: {"vector": np.array(text, np.float32)}}
        both = [dimension(VIDEO, found) for dimension in (OverallConsistency(), TemporalStyle())]
        assert both[0] == both[1] == fit(found)
        return both[0].value

    assert cosine([3, 4], [10, 0]) == pytest.approx(0.6)
    assert cosine([3, 4], [-0.5, 0]) == pytest.approx(-0.6)
    assert cosine([3, 4], [4, -3]) == pytest.approx(0.0, abs=1e-12)
    assert not {OverallConsistency.name, TemporalStyle.name} & set(SCALE)


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    draws = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draws) * 0.05
    return network.eval()


def official() -> torch.nn.Module:
    from open_clip.model import CLIP as Clip
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=2, width=WIDTH, head_width=64, patch_size=14, image_size=224)
    text = CLIPTextCfg(context_length=32, vocab_size=49408, width=WIDTH, heads=2, layers=2)
    return randomised(Clip(768, vision, text, quick_gelu=True))


@torch.inference_mode()
def test_the_text_tower_is_clip_s() -> None:
    wanted, tower = official(), viclip.TextTower(WIDTH, layers=2).eval()
    tower.load_state_dict({name: tensor for name, tensor in wanted.state_dict().items() if name in tower.state_dict()})
    tokens = torch.cat([viclip.tokenize("a cat on a mat"), viclip.tokenize("cat " * 40)])
    torch.testing.assert_close(tower(tokens), wanted.encode_text(tokens), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_of_a_single_frame_the_video_tower_makes_what_clip_does() -> None:
    wanted, tower = official().visual, viclip.VideoTower(WIDTH, layers=2).eval()
    state = {name: tensor for name, tensor in wanted.state_dict().items() if name in tower.state_dict()}
    state["conv1.weight"] = state["conv1.weight"][:, :, None]
    tower.temporal_positional_embedding = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
    tower.load_state_dict(state | {"temporal_positional_embedding": torch.zeros(1, 1, WIDTH)})
    frame = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(tower(frame[:, :, None]), wanted(frame), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_patches_know_their_place_and_their_time() -> None:
    tower = randomised(viclip.VideoTower(WIDTH, layers=0))
    clip = torch.randn(1, 3, 8, 224, 224, generator=torch.Generator().manual_seed(3))
    patch = clip[0, :, 5, 28:42, 196:210]  # row 2, column 14 of 16: the 46th of the frame
    seen = tower.conv1.weight.flatten(1) @ patch.flatten()
    token = tower.tokens(clip)[0].view(256, 8, WIDTH)[46, 5]
    torch.testing.assert_close(token, seen + tower.positional_embedding[47] + tower.temporal_positional_embedding[0, 5])


@torch.inference_mode()
def test_patches_of_all_frames_see_each_other() -> None:
    tower = randomised(viclip.VideoTower(WIDTH, layers=1))
    clip = torch.randn(1, 3, 8, 224, 224, generator=torch.Generator().manual_seed(2))
    changed = clip.clone()
    changed[:, :, 7] += 1
    assert (tower(clip) - tower(changed)).abs().max() > 1e-5
    assert (tower(clip) - tower(clip.flip(2))).abs().max() > 1e-7  # time is not symmetric


def test_the_towers_have_24_and_12_layers() -> None:
    with torch.device("meta"):
        assert (len(viclip.VideoTower().transformer.resblocks), len(viclip.TextTower().transformer.resblocks)) == (24, 12)
