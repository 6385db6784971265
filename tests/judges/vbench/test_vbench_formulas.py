"""Resizes against torchvision, means and thresholds against answers known by hand, early exits against the whole video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import films
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T

from salt_bench.errors import UserError
from salt_bench.judges.vbench import background_consistency, dynamic_degree, features, motion, motion_smoothness, static_filter
from salt_bench.judges.vbench import subject_consistency as subject
from salt_bench.judges.vbench.aesthetic_quality import AestheticQuality, Beauty
from salt_bench.judges.vbench.appearance_style import AppearanceStyle, ClipPictures, StyleText, style
from salt_bench.judges.vbench.base import Pass, Refused, Setup, Video
from salt_bench.judges.vbench.imaging_quality import _PASSES
from salt_bench.judges.vbench.networks import clip, dino, raft
from salt_bench.judges.vbench.resizing import CLIP, corner, short, shorten
from salt_bench.judges.vbench.temporal_flickering import Differences, TemporalFlickering

SETUP = Setup(Path())
SIZES = [(132, 164), (480, 832), (301, 224), (224, 224), (100, 357), (227, 300)]
HARD = films.noise(2, 8, 8).repeat(9, axis=1).repeat(9, axis=2)  # sharp edges: bicubic overshoots


def video(**facts: Any) -> Video:
    return replace(Video(Path("x.mp4"), 17, 256, 256, 8.0), **facts)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_torchvisions(size: tuple[int, int]) -> None:
    frames = torch.zeros(1, 3, *size)
    assert shorten(frames, 224, "bilinear").shape == T.Resize(224)(frames).shape


def test_the_long_side_is_cut_and_the_crop_rounds_to_even() -> None:
    assert short((480, 832), 224) == (224, 388)  # 388.27
    assert short((357, 100), 224) == (799, 224)  # 799.68
    assert [corner((224 + n, 224), 224)[0] for n in range(8)] == [0, 0, 1, 2, 2, 2, 3, 4]


def prepared(monkeypatch: pytest.MonkeyPatch, kind: Any, frames: np.ndarray) -> torch.Tensor:
    """What a pass shows to its network."""
    shown: list[torch.Tensor] = []

    def net(images: torch.Tensor) -> torch.Tensor:
        shown.append(images)
        return torch.zeros(len(images), 4)

    monkeypatch.setattr("salt_bench.judges.vbench.weights.locate", lambda folder, name: Path(name))
    monkeypatch.setattr(dino, "load", lambda path, device: net)
    monkeypatch.setattr(clip, "images", lambda path, device, precision: clip.Images(net, 224, "cpu", torch.float32))
    running = kind(SETUP).start(video())
    assert running.take(frames)
    assert running.result()["rows"].shape == (len(frames), 4)
    return shown[0]


def floats(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("frames", [HARD, films.noise(2, 300, 231), films.noise(1, 224, 227), films.noise(1, 132, 470)])
def test_what_dino_sees(monkeypatch: pytest.MonkeyPatch, frames: np.ndarray) -> None:
    want = T.Compose([T.Resize(224, InterpolationMode.BILINEAR, antialias=False), T.Lambda(lambda x: x / 255)])
    want = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(want(floats(frames)))
    assert torch.allclose(prepared(monkeypatch, subject.DinoFrames, frames), want, atol=1e-5)


@pytest.mark.parametrize("frames", [HARD, films.noise(2, 300, 231), films.noise(1, 224, 227), films.noise(1, 132, 470)])
def test_what_clip_sees_by_way_of_tensors(monkeypatch: pytest.MonkeyPatch, frames: np.ndarray) -> None:
    want = T.Compose(
        [T.Resize(224, InterpolationMode.BICUBIC, antialias=False), T.CenterCrop(224), T.Lambda(lambda x: x / 255)]
    )
    want = T.Normalize(*CLIP)(want(floats(frames)))
    seen = prepared(monkeypatch, background_consistency.ClipFrames, frames)
    assert torch.allclose(seen, want, atol=1e-5)
    if frames is HARD:
        assert seen.max() > (1 - 0.48) / 0.26 + 0.1, "overshoot is kept"


@pytest.mark.parametrize("frames", [HARD, films.noise(2, 300, 231), films.noise(1, 224, 227), films.noise(1, 132, 470)])
def test_what_clip_sees_by_way_of_pictures(monkeypatch: pytest.MonkeyPatch, frames: np.ndarray) -> None:
    prepare = T.Compose(
        [T.Resize(224, InterpolationMode.BICUBIC), T.CenterCrop(224), T.ToImage(), T.ToDtype(torch.float32, True)]
    )
    want = torch.stack([T.Normalize(*CLIP)(prepare(Image.fromarray(frame))) for frame in frames])
    assert torch.allclose(prepared(monkeypatch, ClipPictures, frames), want, atol=1e-5)


def test_a_wrong_aesthetic_head_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("salt_bench.judges.vbench.weights.locate", lambda folder, name: tmp_path / name)
    monkeypatch.setattr(clip, "images", lambda path, device, precision: None)
    torch.save({"weight": torch.ones(1, 768)}, tmp_path / "laion")
    with pytest.raises(UserError, match="laion does not hold the weights that belong there"):
        Beauty(SETUP).start(video()).take(HARD)


def circle(*degrees: float, length: float = 3.0) -> np.ndarray:
    angles = np.radians(degrees)
    return (length * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)


def test_consistency_by_hand() -> None:
    """Angles to the one before 60, 60, 120; to the first 60, 120, 0; a cosine below 0 counts as 0."""
    word = features.consistency(circle(0, 60, 120, 0))
    assert features.agreement(circle(0, 60, 120, 0)) == pytest.approx([0.5, 0.25, 0.5], abs=1e-6)
    assert word.value == pytest.approx(1.25 / 3, abs=1e-6)
    assert word.weight == 3
    assert word.extra["video_sim"] == pytest.approx(1.25, abs=1e-6)
    assert features.consistency(circle(0)).value is None


def test_half_precision_is_compared_in_half_precision() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 512)).astype(np.float16) + 1
    half, full = features.agreement(rows), features.agreement(rows.astype(np.float32))
    assert 1e-6 < np.abs(half - full).max() < 2e-3


def test_flickering_by_hand() -> None:
    dimension = TemporalFlickering()
    word = dimension(video(), {Differences: {"means": np.array([0.0, 51.0])}})
    assert (word.value, word.weight) == (pytest.approx(0.9, abs=1e-12), 1)
    running = Differences(SETUP).start(video())
    for block in (np.array([[10, 250]]), np.array([[20, 250], [0, 0]])):
        running.take(block[:, :, None, None].repeat(3, 3).astype(np.uint8))
    assert running.result()["means"].tolist() == [5.0, 135.0]


def test_aesthetic_quality_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth"
    path.parent.mkdir(parents=True)
    torch.save({"weight": torch.tensor([[2.0, 0.0]]), "bias": torch.tensor([5.0])}, path)
    (tmp_path / "clip_model").mkdir()
    (tmp_path / "clip_model/ViT-L-14.pt").touch()
    found = SimpleNamespace(frames=lambda frames: torch.from_numpy(circle(0, 60)))
    monkeypatch.setattr(clip, "images", lambda path, device, precision: found)
    running = Beauty(Setup(tmp_path)).start(video())
    running.take(films.noise(2))
    rows = running.result()
    assert rows["rows"] == pytest.approx([7.0, 6.0], abs=1e-5)
    word = AestheticQuality()(video(), {Beauty: rows})
    assert word.value == pytest.approx(0.65, abs=1e-6)
    assert AestheticQuality()(video(), {Beauty: {"rows": np.float32([1, 2, 6])}}).value == pytest.approx(0.3), "no median"
    assert word.weight == 1


def test_appearance_style_by_hand() -> None:
    found = {ClipPictures: {"rows": circle(0, 90, 180)}, StyleText: {"text": circle(60)[0], "scale": np.array(50.0)}}
    word = AppearanceStyle()(video(text="a cat"), found)
    cosines = [0.5, math.sqrt(0.75), -0.5]
    assert word.extra["frame_results"] == pytest.approx([cosine / 2 for cosine in cosines], abs=1e-6)
    assert word.value == pytest.approx(sum(cosines) / 6, abs=1e-6)
    assert (word.weight, word.extra["cur_sim"]) == (3, pytest.approx(-0.25, abs=1e-6))


def test_the_style_is_the_suites_where_there_is_one() -> None:
    said = {"appearance_style": {"appearance_style": "Van Gogh style"}}
    assert style(video(text="a cat, Van Gogh style", auxiliary=said)) == "Van Gogh style"
    assert style(video(text="a cat")) == "a cat"


@pytest.mark.parametrize(("fps", "step"), [(8, 1), (12, 2), (20, 2), (24, 3), (4, 1), (0, 1), (29.97, 4), (60, 8)])
def test_dynamic_degree_takes_eight_frames_per_second(fps: float, step: int) -> None:
    """20/8 = 2.5 goes to the even 2, 12/8 = 1.5 to the even 2."""
    assert list(dynamic_degree.FastPairs(SETUP).chosen(video(fps=fps, frames=17))) == list(range(0, 17, step))


def test_dynamic_degree_by_hand() -> None:
    rule = dynamic_degree.rule(video(frames=17, fps=20.0, height=176, width=136))
    assert (rule.speed, rule.need, rule.pairs) == (3.1875, 2, 8)
    assert not rule.dynamic([3.2] + [3.1] * 7)
    assert not rule.dynamic([3.1875] * 8), "as fast as is not faster than"
    assert rule.dynamic([3.2, 3.1, 3.2])
    assert not dynamic_degree.rule(video(frames=1)).dynamic([]), "one frame does not move"
    assert dynamic_degree.rule(video(frames=2)).need == 0
    assert dynamic_degree.rule(video(frames=2)).dynamic([0.0]), "round(4 · 2/16) is 0, so officially one pair is enough"


def test_the_static_filter_by_hand() -> None:
    rule = static_filter.rule(video(frames=17, height=176, width=136))
    assert (rule.speed, rule.most, rule.far) == (1.59375, 2, 6.375)
    assert rule.static([1.6, 1.6, 1.5], [6.3, 6.3])
    assert not rule.static([1.6, 1.6, 1.6], [0, 0])
    assert rule.static([1.59375] * 16, [6.375, 6.375]), "as fast as is not faster than, as far as is not farther"
    assert not rule.static([0, 0, 0], [6.4, 0])
    assert not rule.static([0, 0, 0], [0, 6.4])


@pytest.mark.parametrize(("count", "fast", "slow"), [(7, 2, 1), (14, 4, 2), (10, 2, 1), (20, 5, 2), (12, 3, 2), (36, 9, 4)])
def test_how_many_pairs_must_be_fast(count: int, fast: int, slow: int) -> None:
    """A quarter of the frames for dynamic degree, an eighth for the static filter, halves to the even number."""
    film = video(frames=count)
    assert (dynamic_degree.rule(film).need, static_filter.rule(film).most) == (fast, slow)


def test_how_many_pixels_count_and_who_compares_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salt_bench.judges.vbench.weights.locate", lambda folder, name: Path(name))
    monkeypatch.setattr(raft, "load", lambda path, device: Brightness())
    fast, slow = dynamic_degree.FastPairs(SETUP).start(video()), static_filter.SlowPairs(SETUP).start(video())
    assert (fast.share, fast.ends, slow.share, slow.ends) == (0.05, False, 0.02, True)  # type: ignore[attr-defined]
    assert raft.ITERATIONS == 20


def test_a_style_is_kept_under_its_own_words() -> None:
    said = {"appearance_style": {"appearance_style": "Van Gogh style"}}
    assert StyleText.reads(video(text="a cat", auxiliary=said)) == "Van Gogh style"
    assert ClipPictures.reads(video(text="a cat", auxiliary=said)) == ""


def test_passes_that_read_all_frames_choose_none() -> None:
    kinds = [subject.DinoFrames, background_consistency.ClipFrames, Differences, motion_smoothness.AmtPass, Beauty]
    for kind in (*kinds, *_PASSES.values(), ClipPictures, static_filter.SlowPairs):
        assert kind.chosen is Pass.chosen, kind.name
    assert Differences(SETUP).chosen(video()) is None


SPEEDS = st.lists(st.sampled_from([0.0, 6.0, 6.1, 9.0]), max_size=40)


@given(speeds=SPEEDS)
def test_the_early_exit_of_dynamic_degree_is_exact(speeds: list[float]) -> None:
    rule = dynamic_degree.rule(video(frames=len(speeds) + 1))
    for n in range(1, len(speeds) + 1):
        if rule.decided(speeds[:n]):
            assert rule.dynamic(speeds[:n]) == rule.dynamic(speeds)
    assert rule.decided(speeds) or not speeds


@given(speeds=SPEEDS)
def test_the_early_exit_of_the_static_filter_is_exact(speeds: list[float]) -> None:
    rule = static_filter.rule(video(frames=len(speeds) + 1))
    assert not any(rule.moving(speeds[:n]) and rule.static(speeds, []) for n in range(len(speeds)))


class Brightness:
    """A stand-in for RAFT: the flow of a pair is how much brighter its second frame is, to the right; darker counts double."""

    def encode(self, frames: torch.Tensor) -> raft.Encoded:
        return raft.Encoded(frames[:, :1], frames[:, :1])

    def flow(self, first: raft.Encoded, second: raft.Encoded) -> torch.Tensor:
        change = second.features - first.features
        change = torch.where(change < 0, 2 * change, change)
        return torch.cat([change, torch.zeros_like(change)], dim=1)


def speeds(
    monkeypatch: pytest.MonkeyPatch, levels: Sequence[int], blocks: Sequence[int], decided: Any, at_once: int = 4
) -> Any:
    monkeypatch.setattr("salt_bench.judges.vbench.weights.locate", lambda folder, name: Path(name))
    monkeypatch.setattr(raft, "load", lambda path, device: Brightness())
    monkeypatch.setattr(raft, "pairs_at_once", lambda height, width, device: at_once)
    running = motion.Speeds(SETUP, video(), 0.05, decided, ends=True)
    frames = np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, 128, 128, 3), np.uint8)
    start = 0
    for length in blocks:
        if not running.take(frames[start : start + length]):
            break
        start += length
    return {name: values.tolist() for name, values in running.result().items()}


@pytest.mark.parametrize("blocks", [[7], [1] * 7, [3, 4], [6, 1]])
@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_every_pair_is_seen_once_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, blocks: list[int], at_once: int) -> None:
    found = speeds(monkeypatch, [0, 1, 3, 6, 10, 15, 21], blocks, lambda seen: False, at_once)
    assert found == {"pairs": [1, 2, 3, 4, 5, 6], "ends": [21, 42]}


def test_a_settled_video_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found = speeds(monkeypatch, [0, 1, 3, 6, 10, 15, 21], [7], lambda seen: len(seen) >= 3, at_once=2)
    assert found == {"pairs": [1, 2, 3], "ends": []}


def test_a_single_frame_has_no_pair_but_two_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert speeds(monkeypatch, [5], [1], lambda seen: False) == {"pairs": [], "ends": [0, 0]}


def test_pictures_too_small_for_raft_are_refused() -> None:
    with pytest.raises(Refused, match="RAFT needs pictures of 128 pixels a side, got 256 x 100"):
        motion.Speeds(SETUP, video(height=100), 0.05, lambda seen: False)


def test_the_top_share_by_hand() -> None:
    flow = torch.zeros(2, 2, 10, 10)
    flow[0, 0, 0, :5], flow[0, 1, 0, :5] = 3.0, 4.0
    flow[1, 1] = -2.0
    assert raft.top_mean(flow, 0.05) == pytest.approx([5.0, 2.0])
    assert raft.top_mean(flow, 0.109) == pytest.approx([2.5, 2.0]), "int(10.9) is 10"


def test_padding_is_even_and_repeats_the_edge() -> None:
    frames = torch.arange(3.0 * 5 * 6).reshape(1, 3, 5, 6)
    assert torch.equal(raft.padded(frames), F.pad(frames, (1, 1, 1, 2), mode="replicate"))
