"""Networks that are spread over processes hold the numbers of whole ones, bit for bit, and read no more than their own part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from causal_parts import causal
from crews import together
from safetensors.torch import save_file
from tiny import SPEC, student, teacher, wan

from salt_bench.errors import UserError
from salt_train import checkpoint
from salt_train.backbones.base import Backbone
from salt_train.building import without_data
from salt_train.layout import PLAIN, Layout
from salt_train.objectives.dmd import DMD
from salt_train.parallel import start, whole
from salt_train.recipe import LoRA, Recipe
from salt_train.train import Networks, build
from salt_train.weights import Random, Stored, load

SHARDED = Layout(shard=True)
CASES: dict[str, Recipe] = {
    "from the teacher": student(DMD()),
    "causal, from the teacher": causal(DMD()),
    "low-rank changes": replace(student(DMD()), lora=LoRA(2, 4.0)),
    "from nothing that fits": replace(student(DMD()), backbone=replace(SPEC, hidden=20), seed=3),
    "a teacher": replace(teacher(), optimiser=replace(teacher().optimiser, muon=False), seed=5),
}


def networks(nets: Networks) -> Sequence[Backbone | None]:
    return (nets.student, nets.ema, nets.teacher, *nets.critics.values())


def same(one: Networks, two: Networks) -> None:
    for a, b in zip(networks(one), networks(two), strict=True):
        assert (a is None) == (b is None)
        if a is None or b is None:
            continue
        here, there = dict(a.named_parameters()), dict(b.named_parameters())
        assert here.keys() == there.keys()
        for name, p in there.items():
            assert (here[name].requires_grad, here[name].dtype) == (p.requires_grad, p.dtype), name
            assert torch.equal(whole(here[name]).detach(), p.detach()), name
        buffers = dict(a.named_buffers())
        assert buffers
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in b.named_buffers())


@pytest.mark.parametrize("name", CASES)
def test_what_is_spread_over_processes_holds_the_numbers_of_the_whole(name: str, root: Path) -> None:
    def work() -> None:
        for kept in ("float32", "bfloat16"):
            same(build(CASES[name], root, replace(SHARDED, frozen=kept)), build(CASES[name], root, replace(PLAIN, frozen=kept)))

    together(2, work)


def test_a_network_without_data_has_its_buffers(root: Path) -> None:
    with without_data():
        net = wan()
    assert all(p.is_meta for p in net.parameters())
    assert torch.equal(net.place, wan().place)
    assert not any(p.is_meta for p in wan().parameters()), "outside, networks have their data"


def test_a_part_of_a_file_is_what_is_read(tmp_path: Path) -> None:
    numbers = torch.arange(12.0).view(4, 3)
    save_file({"a": numbers}, tmp_path / "file.safetensors")
    into = torch.zeros(2, 2, dtype=torch.bfloat16)
    stored(tmp_path / "file.safetensors").put("net.a", (1, 1), into)
    assert torch.equal(into, numbers[1:3, 1:].bfloat16())


def stored(path: Path) -> Stored:
    return Stored((path,), lambda why: UserError(f"misfit: {why}"), lambda path, error: UserError("damaged"), "net.")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"net.a": torch.zeros(2), "net.b": torch.zeros(1)}, "misfit: 1 tensors are missing, net.b first"),
        ({}, "misfit: 1 tensors are too many, net.a first"),
        ({"net.a": torch.zeros(3)}, r"misfit: net.a is \(2,\), wanted \(3,\)"),
    ],
)
def test_what_does_not_fit_is_named(tensors: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "file.safetensors")
    with pytest.raises(UserError, match=message):
        load(tensors, stored(tmp_path / "file.safetensors"))
    (tmp_path / "file.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="damaged"):
        load(tensors, stored(tmp_path / "file.safetensors"))


def test_a_checkpoint_of_another_shape_is_named(root: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match=r"does not fit its recipe \(.* wanted .*\); delete it"):
        checkpoint.fill(replace(SPEC, hidden=20).build((6, 6, 6, 6), 7, torch.ones(6)), root / teacher().fingerprint())


def test_random_weights_keep_sizes() -> None:
    scale, bias, matrix = torch.zeros(5), torch.zeros(5), torch.zeros(300, 200)
    load({"norm.weight": scale, "a.bias": bias, "a.weight": matrix}, Random(block=50_000))
    assert (float(scale.min()), float(bias.abs().max())) == (1.0, 0.0)
    assert float((matrix @ torch.randn(200, generator=torch.Generator().manual_seed(1))).std()) == pytest.approx(1, rel=0.3)


def test_one_process_may_be_spread_too(root: Path) -> None:
    def work() -> None:
        same(build(CASES["low-rank changes"], root, SHARDED), build(CASES["low-rank changes"], root, PLAIN))

    together(1, work)
    assert start(PLAIN) is False
