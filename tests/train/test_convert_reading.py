"""What others wrap weights in, and files that are no weights: each has a test, and each refusal has a name."""

from __future__ import annotations

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from weights import net, pick, same, saved, wan

from salt_bench.errors import UserError, WrongUse
from salt_train.convert import network, reading

FSDP = "model._fsdp_wrapped_module."
INNER = "blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module."


def inner(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Wrappers inside the keys of the first block, as sharded trainers leave them."""
    return {key.replace("blocks.0.", INNER): tensor for key, tensor in tensors.items()}


def tagged(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors with an attribute of their own, which torch saves in another way (some files of Causal Forcing)."""
    for tensor in tensors.values():
        tensor.tag = "kept"  # type: ignore[attr-defined]
    return dict(tensors)


PUBLIC: dict[str, tuple[Callable[[], Any], str]] = {
    "Self Forcing": (
        lambda: {"generator_ema": wan(0, "model."), "generator": wan(1), "critic": wan(2, "model.")},
        "generator_ema",
    ),
    "Self Forcing, sharded average": (lambda: {"generator_ema": inner(wan(0, FSDP)), "step": 600}, ""),
    "Self Forcing, start": (lambda: {"generator": wan(0, "model.")}, ""),
    "with a critic": (lambda: {"generator": wan(0, "model."), "critic": wan(1, "model.")}, ""),
    "Causal Forcing": (lambda: {"generator": tagged(wan(0, "model."))}, ""),
    "a model": (lambda: {"model": wan(0)}, ""),
    "compiled": (lambda: {"generator": wan(0, "model._orig_mod.")}, ""),
    "distributed": (lambda: {"model": wan(0, "module.")}, ""),
    "Wan": (lambda: wan(0), ""),
    "rCM": (lambda: OrderedDict(wan(0, "net.")), ""),
    "rCM with its average": (lambda: wan(1, "net.") | wan(0, "net_ema."), "net_ema"),
    "FastGen": (lambda: {"model": wan(0, "net.")}, ""),
    "one file for ComfyUI": (lambda: wan(0, "model.diffusion_model."), ""),
    "compiled inside of sharded": (lambda: {"generator": inner(wan(0, "module._fsdp_wrapped_module._orig_mod.model."))}, ""),
    "FastVideo, diffusers": (lambda: dict(net(0).state_dict()), ""),
    "parameters": (lambda: {"generator": {k: torch.nn.Parameter(t) for k, t in wan(0, "model.").items()}}, ""),
}


@pytest.fixture(scope="module")
def truth() -> dict[str, torch.Tensor]:
    return dict(net(0).state_dict())


@pytest.mark.parametrize("form", PUBLIC)
def test_every_public_wrapping_comes_off(form: str, truth: dict[str, torch.Tensor], tmp_path: Path) -> None:
    make, take = PUBLIC[form]
    found = network.read(pick(saved(tmp_path / "weights.pt", make()), take))
    assert same(found.tensors, truth)
    assert not any(tensor.requires_grad for tensor in found.tensors.values())
    network.fitting(found, pick(tmp_path / "weights.pt"))


def test_safetensors_come_single_sharded_and_in_a_folder(truth: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(wan(0), tmp_path / "one.safetensors")
    assert same(network.read(pick(tmp_path / "one.safetensors")).tensors, truth)
    keys = list(truth)
    folder = tmp_path / "pipeline" / "transformer"
    folder.mkdir(parents=True)
    for name, part in (("a", keys[:20]), ("b", keys[20:])):
        save_file({key: truth[key] for key in part}, folder / f"{name}.safetensors")
    with pytest.raises(UserError, match=r"holds a\.safetensors, b\.safetensors and no index"):
        network.read(pick(tmp_path / "pipeline"))
    index = folder / "x.safetensors.index.json"
    places = {key: "a.safetensors" if key in keys[:20] else "b.safetensors" for key in keys}
    index.write_text(str({"weight_map": places}).replace("'", '"'))
    for path in (tmp_path / "pipeline", folder, index):
        assert same(network.read(pick(path)).tensors, truth)
    (folder / "b.safetensors").unlink()
    with pytest.raises(UserError, match=r"lists b\.safetensors, which is not beside it"):
        network.read(pick(folder))
    index.write_text("{}")
    with pytest.raises(UserError, match="is no index of weights"):
        network.read(pick(folder))


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    for padding in range(0, 256, 8):
        save_file({"x": torch.zeros(2)}, path, {"pad": "x" * padding})
        if path.read_bytes().startswith(b"\x80"):
            break
    assert path.read_bytes().startswith(b"\x80")
    assert set(reading.parts(path)[""]) == {"x"}


def test_a_patch_embedding_may_be_a_matrix(truth: dict[str, torch.Tensor], tmp_path: Path) -> None:
    tensors = wan(0, "net.")
    key = "net.patch_embedding.weight"
    tensors[key] = tensors[key].flatten(1)
    assert same(network.read(pick(saved(tmp_path / "rcm.pt", tensors))).tensors, truth)


def test_which_network_is_meant_is_never_guessed(tmp_path: Path) -> None:
    both = saved(tmp_path / "both.pt", {"generator": wan(0), "generator_ema": wan(1), "critic": wan(2)})
    with pytest.raises(
        WrongUse, match=r"holds critic, generator, generator_ema: say which with --take generator or --take generator_ema"
    ):
        network.read(pick(both))
    assert same(network.read(pick(both, "critic")).tensors, dict(net(2).state_dict()))
    with pytest.raises(WrongUse, match="has no part 'ema'; it holds critic, generator, generator_ema"):
        network.read(pick(both, "ema"))
    with pytest.raises(WrongUse, match="no network that makes videos: say --take NAME if that is meant"):
        network.read(pick(saved(tmp_path / "critic.pt", {"critic": wan(0)})))
    flat = saved(tmp_path / "flat.pt", wan(0, "net.") | wan(1, "net_ema."))
    with pytest.raises(WrongUse, match="--take net or --take net_ema"):
        network.read(pick(flat))


def test_what_is_missing_or_too_much_is_named_in_full(tmp_path: Path) -> None:
    tensors = wan(0, "model.")
    del tensors["model.blocks.1.self_attn.q.weight"]
    tensors["model.blocks.0.norm3.bias"] = torch.zeros(3)
    for i in range(3):
        tensors[f"model.blocks.{i}.to_gate_compress.weight"] = torch.zeros(2)
    path = saved(tmp_path / "odd.pt", {"generator": tensors})
    said = (
        "(missing: blocks.1.attn1.to_q.weight; fits nothing: blocks.{0-2}.to_gate_compress.weight; "
        "another shape: blocks.0.norm2.bias)"
    )
    with pytest.raises(UserError, match=re.escape(said)):
        network.fitting(network.read(pick(path)), pick(path))
    _, wrong = network.check(network.read(pick(path, without=("to_gate",))), pick(path))
    assert (len(wrong.missing), wrong.unexpected, len(wrong.misshapen)) == (1, (), 1)


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    twice = wan(0) | {"model.head.modulation": torch.zeros(1, 2, 128)}
    with pytest.raises(UserError, match=r"head\.modulation twice, as head\.modulation and as model\.head\.modulation"):
        network.read(pick(saved(tmp_path / "twice.pt", twice)))


# --- files that are no weights ------------------------------------------------------------------------------------------------


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("sort", ["zip", "legacy", "bare", "bare, old"])
def test_code_is_refused_by_name_and_never_run(sort: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pt", tmp_path / "was-run"
    found = {"generator": wan(0), "step": Code(mark)}
    if sort.startswith("bare"):
        path.write_bytes(pickle.dumps(Code(mark), protocol=2 if sort.endswith("old") else 4))
    else:
        torch.save(found, path, _use_new_zipfile_serialization=sort == "zip")
    with pytest.raises(
        UserError, match=r"evil\.pt asks for posix\.system when it is read: that is code, none of it was run"
    ) as refused:
        reading.parts(path)
    assert "\n" not in str(refused.value)
    assert not mark.exists()


def test_an_old_file_of_torch_is_read(tmp_path: Path) -> None:
    torch.save({"generator": wan(0)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert set(reading.parts(tmp_path / "old.pt")) == {"generator"}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_truncated_file_is_named(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    save_file(wan(0), path) if suffix == ".safetensors" else torch.save(wan(0), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=rf"cut\{suffix} is truncated or damaged \(.+\); fetch it again"):
        reading.parts(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", r"is a pointer of git-lfs.*run git lfs pull"),
        (b"<html>404</html>", r"is no file of weights: neither \.safetensors nor written by torch\.save"),
    ],
)
def test_what_is_no_weights_at_all_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        reading.parts(path)


def test_another_model_is_refused_by_name(tmp_path: Path) -> None:
    foreign = saved(tmp_path / "bert.pt", {"encoder.layer.0.weight": torch.zeros(2), "pooler.bias": torch.zeros(2)})
    with pytest.raises(
        UserError, match=r"bert\.pt is another network: none of its 2 keys.*\(encoder\.layer\.0\.weight, pooler\.bias, …\)"
    ):
        network.read(pick(foreign))
    relative = saved(tmp_path / "flux.pt", {"blocks.0.attn1.to_q.weight": torch.zeros(2, 2)})
    with pytest.raises(UserError, match=r"flux\.pt is another network: .*missing: .*patch_embedding\.weight"):
        network.fitting(network.read(pick(relative)), pick(relative))
    for nothing in ({"step": 3}, [torch.zeros(2)], {"generator": {}}):
        with pytest.raises(UserError, match="holds no weights"):
            reading.parts(saved(tmp_path / "nothing.pt", nothing))


def test_a_place_without_weights_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there; name a file of weights"):
        reading.parts(tmp_path / "nowhere.pt")
    with pytest.raises(UserError, match="holds no weights, nor does its transformer/"):
        reading.parts(tmp_path)
    (tmp_path / "__0_0.distcp").touch()
    with pytest.raises(UserError, match="is a distributed checkpoint; make a file of it first: python -m torch"):
        reading.parts(tmp_path)
