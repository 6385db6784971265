"""From a file of others to a folder and back: the same numbers, whole or not at all, in little memory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_convert_names import IMAGES, LARGE
from weights import IMAGE, net, pick, same, saved, wan

from salt_bench import files
from salt_bench.errors import UserError, WrongUse
from salt_train import published
from salt_train.backbones.wan import WanSpec
from salt_train.convert import conversion, lora, network, writing
from salt_train.convert.conversion import Wish, convert
from salt_train.convert.names import to_wan
from salt_train.convert.sizes import Sizes, expected
from salt_train.convert.writing import Entry

SHARD = 1_000_000


def quiet(text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return saved(tmp_path / "published.pt", {"generator_ema": wan(0, "model."), "generator": wan(1, "model.")})


def loaded(folder: Path) -> torch.nn.Module:
    """As diffusers' `from_pretrained` does it, which asks for one more package than we have."""
    from diffusers import WanTransformer3DModel

    place = folder / "transformer"
    made = WanTransformer3DModel.from_config(json.loads((place / "config.json").read_text()))
    index = place / "diffusion_pytorch_model.safetensors.index.json"
    shards = json.loads(index.read_text())["weight_map"] if index.is_file() else {"": "diffusion_pytorch_model.safetensors"}
    made.load_state_dict({k: t for name in set(shards.values()) for k, t in load_file(place / name).items()})
    return made.eval()


def velocity(network: torch.nn.Module) -> torch.Tensor:
    x = torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(1))
    words = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return network(x, torch.tensor([833.3]), words, return_dict=False)[0]


def test_a_round_trip_gives_the_same_velocity(source: Path, tmp_path: Path) -> None:
    convert(pick(source, "generator_ema"), tmp_path / "a", Wish(shard=SHARD), quiet)
    convert(pick(tmp_path / "a"), tmp_path / "b", Wish(to="wan", shard=SHARD), quiet)
    convert(pick(tmp_path / "b"), tmp_path / "c", Wish(), quiet)
    there = velocity(net(0))
    assert float(there.std()) > 0.1
    assert torch.equal(velocity(loaded(tmp_path / "a")), there)
    assert torch.equal(velocity(loaded(tmp_path / "c")), there)
    assert not torch.equal(velocity(net(1)), there)
    assert len(list((tmp_path / "a" / "transformer").glob("*.safetensors"))) > 1
    assert [p.name for p in (tmp_path / "c" / "transformer").glob("*.safetensors")] == ["diffusion_pytorch_model.safetensors"]


def test_a_network_that_reads_pictures_makes_the_round_trip_too(tmp_path: Path) -> None:
    there = net(7, **IMAGE)
    path = saved(tmp_path / "i2v.pt", {"model": {f"model.{to_wan(k)}": t for k, t in there.state_dict().items()}})
    assert "model.blocks.0.cross_attn.k_img.weight" in torch.load(path, weights_only=True)["model"]
    convert(pick(path), tmp_path / "a", Wish(shard=SHARD), quiet)
    convert(pick(tmp_path / "a"), tmp_path / "b", Wish(to="wan"), quiet)
    convert(pick(tmp_path / "b"), tmp_path / "c", Wish(), quiet)
    draw = torch.Generator().manual_seed(3)
    x, words, picture = (torch.randn(*shape, generator=draw) for shape in ((1, 36, 2, 4, 6), (1, 5, 16), (1, 4, 20)))
    with torch.no_grad():
        one, two, three, other = (
            n(x, torch.tensor([625.0]), words, picture, return_dict=False)[0]
            for n in (there, loaded(tmp_path / "a"), loaded(tmp_path / "c"), net(8, **IMAGE))
        )
    assert torch.equal(one, two)
    assert torch.equal(one, three)
    assert not torch.equal(one, other)
    assert json.loads((tmp_path / "b" / "config.json").read_text())["model_type"] == "i2v"


def test_wans_own_names_come_back_as_they_were(source: Path, tmp_path: Path) -> None:
    convert(pick(source, "generator"), tmp_path / "own", Wish(to="wan"), quiet)
    assert same(load_file(tmp_path / "own" / "diffusion_pytorch_model.safetensors"), wan(1))
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    assert (config["model_type"], config["dim"], config["num_heads"], config["in_dim"]) == ("t2v", 128, 1, 16)


def test_a_recipe_reads_what_was_converted(source: Path, tmp_path: Path) -> None:
    spec = WanSpec(128, 1, 3, 32, frequencies=16, waves=0, precondition=False)
    backbone = spec.build((16, 2, 4, 6), 16, torch.ones(16))
    convert(pick(source, "generator"), tmp_path / "out", Wish(shard=SHARD), quiet)
    published.fill(backbone, str(tmp_path / "out"))
    assert same({key.removeprefix("net."): t for key, t in backbone.state_dict().items()}, dict(net(1).state_dict()))


def test_evidence_tells_two_networks_of_one_size_apart(source: Path, tmp_path: Path) -> None:
    for take in ("generator", "generator_ema"):
        convert(pick(source, take), tmp_path / take, Wish(), quiet)
    record = json.loads((tmp_path / "generator" / "conversion.json").read_text())
    assert record["sha256"]["diffusion_pytorch_model.safetensors"] == files.digest(
        tmp_path / "generator" / "transformer" / "diffusion_pytorch_model.safetensors"
    )
    assert (record["source"], record["take"]) == ("published.pt", "generator")
    assert published.digest(str(tmp_path / "generator")) != published.digest(str(tmp_path / "generator_ema"))


@pytest.mark.parametrize(("dtype", "found"), [("keep", torch.float16), ("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_numbers_are_kept_or_rounded_as_asked(dtype: str, found: torch.dtype, tmp_path: Path) -> None:
    half = {key: tensor.half() for key, tensor in wan(0).items()}
    convert(pick(saved(tmp_path / "half.pt", half)), tmp_path / "out", Wish(to="wan", dtype=dtype), quiet)
    assert same(load_file(tmp_path / "out" / "diffusion_pytorch_model.safetensors"), {k: t.to(found) for k, t in half.items()})


# --- low-rank changes ---------------------------------------------------------------------------------------------------------


def change(
    targets: dict[str, tuple[int, int]], prefix: str = "base_model.model.", adapter: str = ""
) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {
        f"{prefix}{target}.lora_{side}{adapter}.weight": torch.randn(*shape, generator=draw)
        for target, (rows, columns) in targets.items()
        for side, shape in (("A", (2, columns)), ("B", (rows, 2)))
    }


SQUARE = (128, 128)
TARGETS = {"blocks.0.self_attn.q": SQUARE, "blocks.2.ffn.0": (32, 128), "blocks.1.cross_attn.o": SQUARE}


@pytest.mark.parametrize("adapter", ["", ".default"])
def test_a_lora_is_added_in_float32(adapter: str, tmp_path: Path) -> None:
    base = {key: tensor.bfloat16() for key, tensor in wan(0, "model.").items()}
    delta = change(TARGETS, adapter=adapter)
    path = saved(tmp_path / "lora.pt", {"generator_lora": delta, "critic_lora": change({"blocks.0.ffn.0": (1, 1)}), "step": 9})
    source = saved(tmp_path / "base.pt", {"generator": base})
    convert(pick(source), tmp_path / "out", Wish(to="wan", dtype="fp32", lora=path, scale=0.5, shard=SHARD), quiet)
    made = {k: t for p in (tmp_path / "out").glob("*.safetensors") for k, t in load_file(p).items()}
    for key, tensor in base.items():
        target = key.removeprefix("model.").removesuffix(".weight")
        wanted = tensor.float()
        if target in TARGETS:
            up, down = (delta[f"base_model.model.{target}.lora_{side}{adapter}.weight"] for side in "BA")
            wanted = wanted + 0.5 * up @ down
            assert not torch.equal(wanted, tensor.float())
        assert torch.equal(made[key.removeprefix("model.")], wanted)


def test_a_lora_that_does_not_fit_is_named(source: Path, tmp_path: Path) -> None:
    def merged(found: object) -> None:
        path = saved(tmp_path / "lora.pt", found)
        convert(pick(source, "generator"), tmp_path / "out", Wish(lora=path), quiet)

    with pytest.raises(UserError, match=r"does not have in that shape: blocks\.7\.attn1\.to_q\.weight"):
        merged(change({"blocks.7.self_attn.q": SQUARE}))
    with pytest.raises(UserError, match=r"does not have in that shape: blocks\.0\.attn1\.to_q\.weight"):
        merged(change({"blocks.0.self_attn.q": (128, 127)}))
    with pytest.raises(UserError, match=r"half a change only \(lora_A or lora_B\) of blocks\.0\.attn1\.to_q\.weight"):
        merged({key: t for key, t in change({"blocks.0.self_attn.q": SQUARE}).items() if "lora_A" in key})
    with pytest.raises(UserError, match=r"holds blocks\.0\.self_attn\.q\.alpha, which is neither"):
        merged(change(TARGETS) | {"blocks.0.self_attn.q.alpha": torch.ones(1)})
    with pytest.raises(WrongUse, match="holds no LoRA: --lora takes a file with one"):
        merged(wan(0))
    with pytest.raises(WrongUse, match="give it with --lora, and its base as the source"):
        network.read(pick(saved(tmp_path / "alone.pt", {"generator_lora": change(TARGETS)})))
    assert set(lora.read(tmp_path / "alone.pt")) == {
        "blocks.0.attn1.to_q.weight",
        "blocks.2.ffn.net.0.proj.weight",
        "blocks.1.attn2.to_out.0.weight",
    }


# --- whole or not at all ------------------------------------------------------------------------------------------------------


def test_a_folder_appears_when_everything_is_in_it(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    write: Callable[..., str] = conversion.writing.write

    def stopped(path: Path, *rest: object) -> str:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(path, *rest)

    monkeypatch.setattr(conversion.writing, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        convert(pick(source, "generator"), tmp_path / "out", Wish(shard=SHARD), quiet)
    assert [p.name for p in tmp_path.iterdir()] == ["published.pt"]
    (tmp_path / ".out.unfinished").mkdir()  # what a kill leaves
    (tmp_path / ".out.unfinished" / "half.safetensors").touch()
    convert(pick(source, "generator"), tmp_path / "out", Wish(shard=SHARD), quiet)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "published.pt"]
    assert not list((tmp_path / "out").rglob("half*"))
    with pytest.raises(WrongUse, match="is there already: name a new folder"):
        convert(pick(source, "generator"), tmp_path / "out", Wish(), quiet)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_that_of_a_shard_not_of_the_file(tmp_path: Path) -> None:
    sizes = Sizes(512, 12, 4096, 16, 16, 512, 64, (1, 2, 2))
    path = saved(tmp_path / "large.pt", {"generator": {f"model.{to_wan(k)}": torch.ones(s) for k, s in expected(sizes)}})
    file, shard = path.stat().st_size, 16_000_000
    assert file > 290e6
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
    convert(pick(path), tmp_path / "out", Wish(shard=shard), quiet)
    grown = memory("VmHWM") - before
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.safetensors")) > 0.99 * file
    assert grown < 3 * shard + 32e6 < file / 3, f"{grown / 1e6:.0f} MB for a file of {file / 1e6:.0f} MB"


@pytest.mark.parametrize("sizes", [LARGE, IMAGES], ids=["T2V", "I2V"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_at_14b_no_piece_that_is_in_memory_is_large(sizes: Sizes, dtype: torch.dtype) -> None:
    """What the test above measures, three shards and one tensor in float32, at the published size; on the meta device."""
    entries = [Entry(key, key, shape, dtype) for key, shape in expected(sizes)]
    groups = writing.shards(entries)
    whole, shard = sum(e.bytes for e in entries), max(sum(e.bytes for e in group) for group in groups)
    assert whole > (28e9 if dtype is torch.bfloat16 else 56e9)
    assert 3 * shard + 4 * max(e.bytes // dtype.itemsize for e in entries) < 4e9
    assert sum(map(len, groups)) == len(entries)


def memory(field: str) -> int:
    """Bytes of this process, by the kernel's name of them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


# --- commands -----------------------------------------------------------------------------------------------------------------


def test_the_commands_convert_and_inspect(source: Path, tmp_path: Path, salt: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = salt("convert", source, tmp_path / "out", "--take", "generator_ema", "--dtype", "bf16")
    assert (code, out.splitlines()[-1]) == (0, f"finished {tmp_path / 'out'}")
    code, out, _ = salt("inspect", tmp_path / "out")
    assert code == 0
    assert "safetensors, 1 file" in out
    assert "in bfloat16" in out
    assert "fits     all 96 keys of WanTransformer3DModel, none missing" in out
    code, out, _ = salt("inspect", source)
    assert "holds    generator (96 tensors), generator_ema (96 tensors)" in out
    assert out.count("names    Wan's") == 2
    assert out.count("around   model.\n") == 2
    assert "no published size of Wan 2.1 (T2V): 3 blocks of width 128" in out


def test_inspect_says_what_stands_around_keys_and_what_a_lora_is(
    tmp_path: Path, salt: Callable[..., tuple[int, str, str]]
) -> None:
    tensors = {"generator_lora": change(TARGETS), "generator": wan(0, "module._orig_mod.model._fsdp_wrapped_module.")}
    code, out, _ = salt("inspect", saved(tmp_path / "both.pt", tensors))
    assert code == 0
    assert "around   module., model., _fsdp_wrapped_module., _orig_mod.\n" in out
    assert "generator_lora\naround   base_model.model.\nchange   of 3 weights, rank 2: merged by salt-train convert" in out
    (tmp_path / "folder").mkdir()
    saved(tmp_path / "folder" / "weights.pth", wan(0))
    assert "torch zip, 1 file" in salt("inspect", tmp_path / "folder")[1]
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "__0_0.distcp").touch()
    assert "is a distributed checkpoint" in salt("inspect", tmp_path / "shards")[2]


def test_the_commands_say_what_is_wrong(source: Path, tmp_path: Path, salt: Callable[..., tuple[int, str, str]]) -> None:
    assert salt("convert", source, tmp_path / "out")[::2] == (
        2,
        f"salt-train: {source} holds generator, generator_ema: say which with --take generator or --take generator_ema\n",
    )
    odd = saved(tmp_path / "odd.pt", wan(0) | {"blocks.0.gate": torch.zeros(2)})
    code, _, said = salt("convert", odd, tmp_path / "out")
    assert code == 5
    assert "fits nothing: blocks.0.gate); --without TEXT leaves out" in said
    assert salt("convert", odd, tmp_path / "out", "--without", "gate")[0] == 0
    assert "misfit   fits nothing: blocks.0.gate" in salt("inspect", odd)[1]
    os.truncate(source, 100)
    assert salt("inspect", source)[0] == 5
