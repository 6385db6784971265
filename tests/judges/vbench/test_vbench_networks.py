"""Our forwards against the libraries', on small random weights."""

from __future__ import annotations

import copy
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import films
import pytest
import small_networks as tiny
import straight
import torch

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks import archive, clip, dino, musiq, raft, umt
from salt_bench.judges.vbench.networks.grit import vit
from salt_bench.judges.vbench.networks.tag2text import swin


@pytest.mark.parametrize("size", [(224, 224), (224, 388), (301, 224)])
def test_dino(size: tuple[int, int]) -> None:
    state, images = tiny.dino(), torch.randn(2, 3, *size)
    other = straight.dino(state, tiny.DINO_WIDTH, tiny.DINO_DEPTH)
    with torch.no_grad():
        assert torch.allclose(dino.Dino(state)(images), other(images), atol=1e-4)


def keys(distance: torch.Tensor) -> torch.Tensor:
    """Keys' cubic kernel with a = -0.75, which is the library's."""
    d, a = distance.abs(), -0.75
    near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))


def test_positions_are_stretched_by_dinos_factor() -> None:
    """Patch k of 24 reads at (k + 1/2) · 14 / 24.1 - 1/2, not at the place that the size would give."""
    line = torch.rand(14)
    table = torch.cat([torch.full((1, 1, 1), 99.0), line.repeat(14, 1).reshape(1, 196, 1)], 1)
    found = dino.positions(table, 14, 24)
    assert found[0, 0, 0] == 99
    row = found[0, 1:, 0].reshape(14, 24)[7, 4:-4]
    for stretched, same in ((24.1, True), (24.0, False)):
        places = (torch.arange(4, 20) + 0.5) * 14 / stretched - 0.5
        want = (keys(places[:, None] - torch.arange(14.0)) * line).sum(1)
        assert torch.allclose(row, want, atol=1e-4) is same


def test_dino_norms_keep_off_zero_by_a_millionth() -> None:
    net = dino.Dino({"norm.weight": torch.ones(2), "norm.bias": torch.zeros(2)})
    assert net._norm(torch.tensor([[0.0, 0.002]]), "norm")[0, 1].item() == pytest.approx(0.001 / (1e-6 + 1e-6) ** 0.5)


@pytest.mark.parametrize("make", [musiq.Mlp, umt.Mlp, lambda: vit.FeedForward(8, 16), lambda: swin.FeedForward(8)])
@torch.inference_mode()
def test_gelu_is_the_exact_one(make: Callable[[], torch.nn.Module]) -> None:
    """Of 1 it is the normal distribution's 0.841345; the usual approximation says 0.841192."""
    network = make()
    for layer, weight, bias in ((network.fc1, 0.0, 1.0), (network.fc2, 1 / network.fc2.in_features, 0.0)):
        layer.weight.fill_(weight)
        layer.bias.fill_(bias)
    found = network(torch.zeros(1, 1, network.fc1.in_features))
    assert torch.allclose(found, torch.tensor(0.8413447), atol=1e-5)


def test_the_widths_and_norms_of_umt() -> None:
    with torch.device("meta"):
        network = umt.Umt()
    assert (len(network.blocks), umt.HEADS, umt.WIDTH) == (24, 16, 1024)
    norms = [network.fc_norm, *(norm for block in network.blocks for norm in (block.norm1, block.norm2))]
    assert {norm.eps for norm in norms} == {1e-6}


@torch.inference_mode()
def test_a_block_of_umt_adds_what_it_finds_to_what_it_got() -> None:
    """With its projections silenced it changes nothing; with one it adds the attention, or the perceptron, of the normed."""
    block = tiny.drawn(umt.Block(), 1.0)
    x = torch.randn(1, 4, umt.WIDTH, generator=torch.Generator().manual_seed(0))
    normed = [
        torch.nn.functional.layer_norm(x, (umt.WIDTH,), norm.weight, norm.bias, 1e-6) for norm in (block.norm1, block.norm2)
    ]
    added = block.attn(normed[0]), block.mlp(normed[1])
    kept = copy.deepcopy(block)
    for silent in (kept.mlp.fc2.weight, kept.mlp.fc2.bias):
        silent.zero_()
    assert torch.allclose(kept(x), x + added[0], atol=1e-4)
    for silent in (block.attn.proj.weight, block.attn.proj.bias):
        silent.zero_()
    assert torch.allclose(block(x), x + added[1], atol=1e-4)


def test_clip_is_open_clips() -> None:
    state, frames = tiny.clip("clip_b32"), films.noise(2, 224, 224)
    other = straight.clip(state, **tiny.SIZES["clip_b32"])
    with torch.no_grad():
        want = other.encode_image(straight.clip_prepare(224)(torch.from_numpy(frames).permute(0, 3, 1, 2).float()))
        assert torch.allclose(clip.image_tower(state, "cpu", "fp32").frames(frames), want, atol=1e-5)
        texts = clip.text_tower(state, "cpu", "fp32")
        import open_clip

        assert torch.allclose(
            texts(["Van Gogh style", "x"]), other.encode_text(open_clip.tokenize(["Van Gogh style", "x"])), atol=1e-5
        )
        assert texts.scale == pytest.approx(float(other.logit_scale.exp()))


def test_half_precision_is_close_and_not_the_same() -> None:
    state, frames = tiny.clip("clip_b32"), films.noise(2, 224, 224)
    full = clip.image_tower(state, "cpu", "fp32").frames(frames)
    half = clip.image_tower(state, "cpu", "fp16").frames(frames)
    assert half.dtype == torch.float16
    assert 0 < (half.float() - full).abs().max() < 0.05 * full.abs().max()
    assert clip.text_tower(state, "cpu", "fp16")(["x"]).dtype == torch.float16


class Holder(torch.nn.Module):
    """Anything that holds tensors under CLIP's names, to be saved as the released files are."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, value in state.items():
            *path, last = name.split(".")
            inner: torch.nn.Module = self
            for part in path:
                if part not in inner._modules:
                    inner.add_module(part, torch.nn.Module())
                inner = inner._modules[part]  # type: ignore[assignment]
            inner.register_buffer(last, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_a_released_archive_and_a_plain_file_hold_the_same(tmp_path: Path) -> None:
    state = {name: value for name, value in tiny.clip("clip_l14").items() if name.startswith("visual.")}
    torch.save(state, tmp_path / "plain.pt")
    torch.jit.save(torch.jit.script(Holder(state)), str(tmp_path / "script.pt"))
    for name in ("plain.pt", "script.pt"):
        found = clip.read(tmp_path / name)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    (tmp_path / "other.pt").write_text("no weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "empty.pt")
    for name in ("other.pt", "empty.pt"):
        for load in (lambda path: clip.images(path, "cpu", "fp32"), lambda path: raft.load(path, "cpu")):
            with pytest.raises(UserError, match=f"{name} does not hold the weights"):
                load(tmp_path / name)


class Odd(Holder):
    """With what else an archive may hold: a tensor that is a constant, one in another order, lists, and more files of code."""

    def __init__(self) -> None:
        super().__init__({"a.b": torch.arange(6).half(), "n": torch.tensor(3)})
        self.constant, self.sizes, self.norm = torch.ones(5), [1, 2], torch.nn.LayerNorm(2)
        self.turned = torch.nn.Parameter(torch.arange(12.0).view(3, 4).t()[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.constant[0] + self.sizes[0]


def test_an_archive_is_mapped_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"
    torch.jit.save(torch.jit.script(Odd()), str(path))
    found, want = archive.read(path), torch.jit.load(str(path)).state_dict()
    assert list(found) == list(want)
    for name, tensor in found.items():
        assert torch.equal(tensor, want[name])
        assert (tensor.dtype, tensor.stride()) == (want[name].dtype, want[name].stride())
        assert tensor.untyped_storage().nbytes() == path.stat().st_size, "the file itself"


def test_an_archive_calls_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return Path.touch, (tmp_path / "was here",)  # type: ignore[return-value]

    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as file:
        file.writestr("evil/code/__torch__.py", "")
        file.writestr("evil/data.pkl", pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"evil.pt does not hold the weights"):
        clip.images(tmp_path / "evil.pt", "cpu", "fp32")
    assert not (tmp_path / "was here").exists()


def original(name: str) -> str:
    """torchvision's name of a RAFT weight in the original file: the table of the two namings, read backwards."""
    for pattern, new in (
        (r"^feature_encoder\.", "fnet."),
        (r"^context_encoder\.", "cnet."),
        (r"convnormrelu([12])\.0\.", r"conv\1."),
        (r"convnormrelu([12])\.1\.", r"norm\1."),
        (r"net\.convnormrelu\.0\.", "net.conv1."),
        (r"net\.convnormrelu\.1\.", "net.norm1."),
        (r"net\.conv\.", "net.conv2."),
        (r"motion_encoder\.convcorr([12])\.0\.", r"encoder.convc\1."),
        (r"motion_encoder\.convflow([12])\.0\.", r"encoder.convf\1."),
        (r"motion_encoder\.conv\.0\.", "encoder.conv."),
        (r"recurrent_block\.convgru([12])\.conv([zrq])\.", r"gru.conv\2\1."),
        (r"^mask_predictor\.convrelu\.0\.", "update_block.mask.0."),
        (r"^mask_predictor\.conv\.", "update_block.mask.2."),
    ):
        name = re.sub(pattern, new, name).replace("fnet.conv.", "fnet.conv2.").replace("cnet.conv.", "cnet.conv2.")
    return f"module.{name}"


def test_raft_under_both_namings(tmp_path: Path) -> None:
    state = tiny.raft()
    old = {original(name): value for name, value in state.items()}
    assert len(old) == len(state) == 169
    assert {
        "module.fnet.conv1.weight",
        "module.cnet.layer2.0.norm1.running_mean",
        "module.update_block.gru.convq2.bias",
    } <= set(old)
    aliases = {name.replace("downsample.1.", "norm3."): value for name, value in old.items() if "downsample.1." in name}
    found = raft.renamed(old | aliases)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("pairs", [1, 2])
def test_raft_is_torchvisions_to_the_last_bit(monkeypatch: pytest.MonkeyPatch, pairs: int) -> None:
    """Features shared between pairs, the mask of the last iteration alone and a state that changes in place change no flow."""
    monkeypatch.setattr(raft, "ITERATIONS", 3)
    net, ours = straight.raft(tiny.raft()), raft.filled(tiny.raft())
    frames = torch.from_numpy(films.drift(pairs + 1, 130, 128)).permute(0, 3, 1, 2).float()
    encoded = ours.encode(frames)
    images = 2 * (raft.padded(frames) / 255) - 1
    with torch.no_grad():
        want = net(images[:-1], images[1:], num_flow_updates=3)[-1]
    found = ours.flow(encoded[:-1], encoded[1:])
    assert found.shape == (pairs, 2, 136, 128)
    assert want.abs().max() > 0.1
    assert torch.equal(found, want)


def test_fewer_pairs_at_once_where_pictures_are_large() -> None:
    assert [raft.pairs_at_once(side, side, "cpu") for side in (128, 256, 480, 1080)] == [16, 16, 5, 1]


def test_matches_that_are_not_kept_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = raft.filled(tiny.raft())
    torch.manual_seed(0)
    frames = net.encode(255 * torch.rand(2, 3, 136, 144))
    kept = net.flow(frames[:1], frames[1:])
    monkeypatch.setattr(raft, "ROOM", 0)
    torch.testing.assert_close(net.flow(frames[:1], frames[1:]), kept, rtol=1e-4, atol=1e-3)
