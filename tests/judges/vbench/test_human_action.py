"""Human action: which frames, how they are shrunk, what counts as seen, and whose names the labels are."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from salt_bench.errors import UserError
from salt_bench.judges.vbench import human_action, kinetics, official
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.human_action import HumanAction, UmtPass, action, shrunk
from salt_bench.judges.vbench.networks import umt
from salt_bench.prompts import data

LISTED = Path(__file__).parents[3] / "../shared/data/vbench/kinetics_400_categories.txt.gz"
VIDEO = Video(Path("A person is clapping-0.mp4"), frames=17, height=256, width=300, fps=8.0)
NAMES = [f"action {number}" for number in range(400)]


def fixed_point(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """OpenCV's bilinear resize of bytes, from its description: weights of 11 bits, across and then down."""

    def ends(length: int, new: int, drop: bool) -> tuple[np.ndarray, ...]:
        where = ((np.arange(new) + 0.5) * (1 / (new / length)) - 0.5).astype(np.float32)
        first = np.floor(where).astype(int)
        part = where - first
        if drop:  # across, a place outside takes the border alone
            part = np.where((first < 0) | (first >= length - 1), np.float32(0), part)
        weights = np.rint((1 - part) * 2048).astype(int), np.rint(part * 2048).astype(int)
        return (*(np.clip(i, 0, length - 1) for i in (np.clip(first, 0, None) if drop else first, first + 1)), *weights)

    left, right, a, b = ends(frame.shape[1], size[1], True)
    top, bottom, c, d = ends(frame.shape[0], size[0], False)
    wide = frame.astype(int)
    across = (wide[:, left] * a[:, None] + wide[:, right] * b[:, None]) >> 4
    upper, lower = (across[rows] * weight[:, None, None] for rows, weight in ((top, c), (bottom, d)))
    return (((upper >> 16) + (lower >> 16) + 2) >> 2).astype(np.uint8)


@pytest.mark.parametrize("size", [(300, 400), (400, 300), (128, 128), (176, 136)])
def test_frames_are_shrunk_in_fixed_point(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    got = shrunk(frame)
    assert min(got.shape[:2]) == 256
    np.testing.assert_array_equal(got, fixed_point(frame, got.shape[:2]))
    floats = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    other = F.interpolate(floats, size=got.shape[:2], mode="bilinear").round()[0].permute(1, 2, 0).byte().numpy()
    assert 0.01 < (other != got).mean() < 0.3, "this test must notice another bilinear"


class Recorder(torch.nn.Module):
    """Stands for UMT: keeps what it is shown; its logits fall from action 3 on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, clip: Tensor) -> Tensor:
        self.seen.append(clip)
        return -torch.arange(400.0).roll(3)[None] / 4


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    stand_in = Recorder()
    monkeypatch.setattr(umt, "load", lambda path: stand_in)
    monkeypatch.setattr(kinetics, "read", lambda path: tuple(NAMES))
    return stand_in


def test_sixteen_frames_from_the_middles_in_order(network: Recorder) -> None:
    one = UmtPass(Setup(Path()))
    assert one.chosen(VIDEO) == tuple(range(16))
    assert one.chosen(replace(VIDEO, frames=9)) == (*range(9), *[8] * 7)
    assert one.chosen(replace(VIDEO, frames=80))[:3] == (2, 7, 12)


def test_the_network_sees_the_middle_of_frames_as_imagenet_has_them(network: Recorder) -> None:
    frames = np.zeros((16, 256, 300, 3), np.uint8)
    frames[:] = np.arange(16)[:, None, None, None] * 10
    frames[5, 16, 38, 0] = 255  # the top left corner of the crop
    running = UmtPass(Setup(Path())).start(VIDEO)
    assert running.take(frames[:10])
    assert running.take(frames[10:])
    running.result()
    (clip,) = network.seen
    assert clip.shape == (1, 3, 16, 224, 224)
    deviation, mean = torch.tensor([0.229, 0.224, 0.225]), torch.tensor([0.485, 0.456, 0.406])
    levels = (clip[0, :, :, 100, 100] * deviation[:, None] + mean[:, None]) * 255
    torch.testing.assert_close(levels, (torch.arange(16.0) * 10).expand(3, 16), atol=1e-3, rtol=0)
    assert clip[0, 0, 5].argmax() == 0


def test_the_best_labels_come_first(network: Recorder) -> None:
    running = UmtPass(Setup(Path())).start(VIDEO)
    running.take(np.zeros((16, 256, 256, 3), np.uint8))
    found = running.result()
    assert found["labels"].tolist() == [f"action {3 + k}" for k in range(8)]
    np.testing.assert_allclose(found["values"], 1 / (1 + np.exp(np.arange(8) / 4)), rtol=1e-6)
    np.testing.assert_array_equal(found["probabilities"][3:11], found["values"])
    assert found["probabilities"].shape == (400,)


def verdict(name: str, values: tuple[float, ...]) -> float | None:
    labels = np.array(["clapping", "waving", "reading", "running", "singing", "sleeping", "eating", "jumping"])
    found = {"labels": labels, "values": np.array(values, np.float32), "probabilities": np.zeros(400, np.float32)}
    return HumanAction()(replace(VIDEO, path=Path(f"A person is {name}-3.mp4")), {UmtPass: found}).value


def test_the_action_must_be_among_the_sure_and_the_five_best() -> None:
    values = (0.99, 0.98, 0.97, 0.96, 0.9, 0.89, 0.88, 0.87)
    assert verdict("clapping", values) == 1
    assert verdict("singing", values) == 1
    assert verdict("sleeping", values) == 0  # the sixth
    assert verdict("knitting", values) == 0


def test_sure_is_from_85_percent_on_rounded_to_four_decimals() -> None:
    assert verdict("clapping", (0.84996, *[0.1] * 7)) == 1
    assert verdict("clapping", (0.84994, *[0.1] * 7)) == 0
    assert verdict("clapping", (0.9, *[0.1] * 7)) == 1
    assert verdict("waving", (0.9, *[0.1] * 7)) == 0


def test_the_official_count_is_carried_along() -> None:
    found = {"labels": np.array(["clapping"]), "values": np.array([0.9])}
    assert HumanAction()(VIDEO, {UmtPass: found}).extra == {
        "cor_num_per_video": 1,
        "top": [["clapping", 0.9]],
    }


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("A person is clapping-0.mp4", "clapping"),
        ("a person is Riding A Bike-12.mp4", "riding a bike"),
        ("A person is tai chi_slow-0.mp4", "tai chi"),
        ("tasting beer-1.mp4", "tasting beer"),
        ("A person is a person is juggling-0.mp4", "juggling"),
    ],
)
def test_a_file_is_named_after_its_action(name: str, wanted: str) -> None:
    assert action(name) == wanted


@torch.inference_mode()
def test_the_network_averages_its_tokens_and_knows_their_time() -> None:
    network = umt.Umt(layers=0).eval()
    network.pos_embed.data = umt.positions()
    clip = torch.rand(1, 3, 16, 224, 224, generator=torch.Generator().manual_seed(0))
    weight = network.patch_embed.proj.weight[:, :, 0].flatten(1)
    cut = F.unfold(clip[0].transpose(0, 1), 16, stride=16).transpose(1, 2) @ weight.T + network.patch_embed.proj.bias
    torch.testing.assert_close(network.patch_embed(clip)[0], cut.flatten(0, 1), atol=1e-4, rtol=1e-4)
    pooled = F.layer_norm(cut.mean((0, 1)) + umt.positions()[0].mean(0), (1024,), eps=1e-6)
    wanted = pooled * network.fc_norm.weight + network.fc_norm.bias
    torch.testing.assert_close(network(clip)[0], network.head(wanted), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_attention_has_a_bias_on_queries_and_values() -> None:
    layer = umt.Attention()
    layer.q_bias.data.normal_(generator=torch.Generator().manual_seed(0))
    layer.v_bias.data.normal_(generator=torch.Generator().manual_seed(1))
    x = torch.randn(1, 5, 1024, generator=torch.Generator().manual_seed(2))
    query, key, value = (x @ part.T for part in layer.qkv.weight.split(1024))
    query, key, value = (p.view(5, 16, 64).transpose(0, 1) for p in (query + layer.q_bias, key, value + layer.v_bias))
    mixed = (query @ key.transpose(1, 2) / 8).softmax(-1) @ value
    torch.testing.assert_close(layer(x)[0], layer.proj(mixed.transpose(0, 1).flatten(1)), atol=1e-4, rtol=1e-4)


def test_fixed_positions_are_a_sinusoid_stretched_in_time() -> None:
    table = umt.positions()[0].view(16, 196, 1024)
    angle = np.arange(8 * 196).reshape(8, 196, 1) / 10000.0 ** (np.arange(0, 1024, 2) / 1024)
    np.testing.assert_allclose(table[0, :, 0::2], np.sin(angle[0]), atol=1e-6)
    np.testing.assert_allclose(table[0, :, 1::2], np.cos(angle[0]), atol=1e-6)
    np.testing.assert_allclose(table[1, :, 0::2], 0.75 * np.sin(angle[0]) + 0.25 * np.sin(angle[1]), atol=1e-6)


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


LINES = [f"{name}\t{number}" for number, name in enumerate(NAMES)]


def test_names_are_read_by_their_numbers(tmp_path: Path) -> None:
    assert kinetics.read(write(tmp_path / "k.txt", LINES[::-1])) == tuple(NAMES)


def test_a_packed_list_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "k.txt.gz").write_bytes(gzip.compress("\n".join(LINES).encode()))
    assert kinetics.read(tmp_path / "k.txt.gz") == tuple(NAMES)


def test_a_wrong_list_is_said(tmp_path: Path) -> None:
    for lines in (LINES[:-1], [*LINES[:-1], "again\t0"], NAMES):
        with pytest.raises(UserError, match="400 lines"):
            kinetics.read(write(tmp_path / "k.txt", lines))


def test_the_names_lie_beside_the_weights_or_in_the_cache_or_are_brought_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    beside = write(tmp_path / "weights" / "umt_model" / data.KINETICS.name, LINES)
    assert official.lies(data.KINETICS, tmp_path / "weights") == beside
    brought: list[Path] = []

    def obtain(source: Path | None, folder: Path, say: object) -> None:
        assert source is None
        brought.append(write(folder / data.KINETICS.name, LINES))

    monkeypatch.setattr(data, "obtain", obtain)
    found = [official.lies(data.KINETICS, tmp_path / "none") for _ in range(2)]
    assert found == brought * 2
    assert len(brought) == 1


@pytest.mark.skipif(not LISTED.is_file(), reason=f"no list beside the checkout, at {LISTED}")
def test_the_official_list_is_understood() -> None:
    names = kinetics.read(LISTED)
    assert (names[0], names[200], names[397]) == ("riding a bike", "spinning poi", "contact juggling")
    assert len(set(names)) == human_action.umt.CLASSES
