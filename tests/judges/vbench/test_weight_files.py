"""Weight files: what a network takes and what it refuses, and that the networks have the official names and shapes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks import amt, loading, musiq, umt, viclip

SHAPES = Path(__file__).parents[3] / "../shared/fixtures/vbench/shapes"


def saved(path: Path, **state: torch.Tensor) -> Path:
    torch.save(state, path)
    return path


def linear(path: Path) -> nn.Linear:
    return loading.fill(loading.empty(lambda: nn.Linear(2, 1)), loading.read(path), path)


def test_a_network_is_filled_and_still(tmp_path: Path) -> None:
    weight = torch.tensor([[1.0, 2.0]], dtype=torch.float16)
    network = linear(saved(tmp_path / "w.pth", weight=weight, bias=torch.tensor([3.0])))
    assert network(torch.tensor([10.0, 100.0])).item() == 213
    assert network.weight.dtype == torch.float32
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_the_first_strange_missing_or_misshapen_name_is_said(tmp_path: Path) -> None:
    weight, bias = torch.ones(1, 2), torch.ones(1)
    with pytest.raises(UserError, match="holds 'gain', which"):
        linear(saved(tmp_path / "w.pth", weight=weight, bias=bias, gain=bias))
    with pytest.raises(UserError, match="lacks 'bias'"):
        linear(saved(tmp_path / "w.pth", weight=weight))
    with pytest.raises(UserError, match=r"'weight' with shape \(2, 1\), not \(1, 2\)"):
        linear(saved(tmp_path / "w.pth", weight=weight.T, bias=bias))


def test_a_file_that_is_absent_torn_or_another_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no weights at .*name the folder that holds"):
        loading.read(tmp_path / "w.pth")
    path = saved(tmp_path / "w.pth", weight=torch.ones(1000))
    with pytest.raises(UserError, match="no entry 'model'"):
        loading.read(path, inside="model")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UserError, match="no whole weight file"):
        loading.read(path)


def test_an_old_file_is_read_too(tmp_path: Path) -> None:
    torch.save({"model": {"x": torch.ones(3)}}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert loading.read(tmp_path / "w.pth", inside="model")["x"].tolist() == [1, 1, 1]


class Trap:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (pytest.fail, ("code from a weight file was run",))


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x, protocol=2))])
def test_nothing_in_a_file_is_run(write: Callable[[object, Path], object], tmp_path: Path) -> None:
    write({"x": Trap()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="no whole weight file"):
        loading.read(tmp_path / "w.pth")


def test_a_tower_takes_its_own_half_and_refuses_a_third(tmp_path: Path) -> None:
    state = {f"text_encoder.{name}": t for name, t in nn.Linear(2, 1).state_dict().items()}
    path = tmp_path / "w.pth"
    torch.save({"model": state | {"temp": torch.ones(()), "vision_encoder.x": torch.ones(1)}}, path)
    torch.testing.assert_close(
        viclip._tower(lambda layers: nn.Linear(2, 1), "text_encoder.", path).bias, state["text_encoder.bias"]
    )
    torch.save({"model": state | {"audio.x": torch.ones(1)}}, path)
    with pytest.raises(UserError, match=r"'audio\.x'"):
        viclip._tower(lambda layers: nn.Linear(2, 1), "text_encoder.", path)


def test_a_umt_file_without_positions_gets_the_fixed_ones(tmp_path: Path) -> None:
    state = umt.Umt(layers=0).state_dict()
    torch.save({name: t for name, t in state.items() if name != "pos_embed"}, tmp_path / "w.pth")
    torch.testing.assert_close(umt.load(tmp_path / "w.pth").pos_embed, umt.positions(), check_device=False)
    torch.save(state | {"pos_embed": torch.full_like(state["pos_embed"], 7)}, tmp_path / "w.pth")
    assert (umt.load(tmp_path / "w.pth").pos_embed == 7).all()


@pytest.mark.skipif(not SHAPES.is_dir(), reason=f"no list of names and shapes beside the checkout, at {SHAPES}")
@pytest.mark.parametrize(
    ("name", "make", "prefix", "file"),
    [
        ("musiq", musiq.Musiq, "", musiq.FILE),
        ("umt_l16", umt.Umt, "", umt.FILE),
        ("viclip", viclip.VideoTower, "vision_encoder.", viclip.FILE),
        ("viclip", viclip.TextTower, "text_encoder.", viclip.FILE),
        ("amt_s", amt.Amt, "", amt.FILE),
    ],
)
def test_names_and_shapes_are_the_official_ones(name: str, make: Callable[[], nn.Module], prefix: str, file: str) -> None:
    facts = json.loads((SHAPES / f"{name}.json").read_text())
    wanted = {t["key"]: tuple(t["shape"]) for t in facts["tensors"] if t["key"].startswith(prefix)}
    assert {prefix + key: tuple(t.shape) for key, t in loading.empty(make).state_dict().items()} == wanted
    assert facts["file"] == file
