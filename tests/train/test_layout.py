"""How a run is laid out changes no number beyond rounding: checkpointing, precisions, offload, and any device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from causal_parts import CAUSAL, causal, long_video
from crews import ALIGNED, close, dmd, losses, trained
from tiny import GRID4, quiet, student, teacher
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from salt_bench.errors import UserError
from salt_bench.rng import Draws
from salt_train import checkpoint, forecast
from salt_train import train as training
from salt_train.backbones.base import Backbone
from salt_train.caches.base import PASTS
from salt_train.caches.full import Full
from salt_train.layout import PLAIN, Layout, gpus_or_cpu
from salt_train.objectives.consistency_distillation import ConsistencyDistillation
from salt_train.objectives.dmd import DMD
from salt_train.objectives.ode_regression import ODERegression
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.objectives.teacher_forcing import TeacherForcing
from salt_train.parallel import start
from salt_train.recipe import Recipe
from salt_train.rollout import Chunks
from salt_train.steps import Steps

TERMS = (DMD(), SelfConsistency(), ALIGNED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro": 0}, "at least one video at once, got 0"),
        ({"compute": "float16"}, "`compute` is one of float32, bfloat16, got 'float16'"),
        ({"device": "mps"}, 'a device is "cpu" or "cuda", got \'mps\''),
    ],
)
def test_a_layout_that_cannot_be_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **changes)


def test_a_gpu_computes_in_bfloat16_and_is_sharded_then() -> None:
    assert (PLAIN.products, PLAIN.sharded) == ("float32", False)
    gpu = Layout(device="cuda")
    assert (gpu.products, gpu.sharded) == ("bfloat16", True)
    assert not replace(gpu, compute="float32").sharded
    assert (Layout(offload=True).sharded, replace(gpu, compute="float32", offload=True).sharded) == (False, True)


@pytest.mark.parametrize("layout", [Layout(device="cuda"), Layout(device="cuda", compute="float32")])
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(layout: Layout) -> None:
    with pytest.raises(UserError, match="no GPU that this build of torch can use; train with --device cpu"):
        start(layout)


def gradients(recipe: Recipe, root: Path, layout: Layout) -> dict[str, Tensor]:
    """The gradient of all terms together, by parameter, at a step that is made behind others."""
    nets, steps = training.build(recipe, root, layout), Steps(recipe, root)
    step = replace(steps(nets, Draws(0)("student", 3), 3, True), grid=GRID4, exits=(2, 2, 2) if recipe.chunks else (2,))
    said = [o.weight * loss for k, o in enumerate(recipe.objectives) if (loss := o.loss(step, nets.critics.get(k))) is not None]
    assert len(said) == len(recipe.objectives)
    names, parameters = zip(*nets.student.named_parameters(), strict=True)
    found = torch.autograd.grad(torch.stack(said).sum(), parameters, allow_unused=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


@pytest.mark.parametrize(
    "recipe",
    [
        student(*TERMS[:2]),
        *(causal(*TERMS, chunks=Chunks(2, Full(past))) for past in PASTS),
        causal(TeacherForcing()),
    ],
    ids=["bidirectional", *PASTS, "teacher forcing"],
)
def test_checkpointing_leaves_every_gradient_what_it_was(recipe: Recipe, root: Path) -> None:
    """Public Self Forcing code trains other parameters with checkpointing than without: the caption's keys and values."""
    plain, again = (gradients(recipe, root, Layout(checkpointing=on)) for on in (False, True))
    assert plain.keys() == again.keys()
    assert all(torch.allclose(plain[name], again[name], rtol=1e-5, atol=1e-8) for name in plain)
    for part in ("attn2.to_k.weight", "attn2.to_v.weight", "attn2.norm_k.weight", "text_embedder.linear_1.weight"):
        assert any(name.endswith(part) and float(g.abs().max()) > 0 for name, g in again.items()), part


@pytest.mark.parametrize(
    ("ranks", "layout", "tolerance"),
    [
        (1, Layout(checkpointing=True), 1e-5),
        (1, Layout(offload=True), 0.0),
        (1, Layout(frozen="bfloat16"), 0.1),
        (1, Layout(compute="bfloat16", frozen="bfloat16"), 0.1),
    ],
    ids=["checkpointing", "offload", "frozen in bfloat16", "products in bfloat16"],
)
def test_losses_stay_what_they_were(ranks: int, layout: Layout, tolerance: float, root: Path, tmp_path: Path) -> None:
    recipe, other = dmd(steps=6), tmp_path / "other"
    training.train(teacher(), other, quiet)
    trained(recipe, root, 1)
    trained(recipe, other, ranks, layout)
    assert close(losses(recipe, root), losses(recipe, other), tolerance, 0.0)
    weights = checkpoint.weights(other / recipe.fingerprint())
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}, "masters stay what they are"


@pytest.fixture
def nowhere() -> Iterator[None]:
    """Tensors have no data here, and may lie on a GPU that does not exist."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def on_gpu(net: Backbone) -> None:
    for module in net.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(p.detach().to("cuda"), p.requires_grad))
        for name, b in list(module.named_buffers(recurse=False)):
            setattr(module, name, b.to("cuda"))


@pytest.mark.parametrize(
    "recipe",
    [
        causal(*TERMS, grid=GRID4),
        causal(TeacherForcing()),
        causal(ConsistencyDistillation(GRID4), teacher=replace(teacher(), backbone=CAUSAL)),
        causal(ODERegression(GRID4, causal=False), grid=GRID4),
        long_video(),
        teacher(),
    ],
    ids=["salt", "teacher forcing", "consistency", "regression", "long video", "teacher"],
)
@pytest.mark.usefixtures("nowhere")
def test_nothing_stays_behind_on_the_cpu(recipe: Recipe) -> None:
    """Tensors on two devices do not go together, with data or without."""
    nets = forecast._players(recipe, PLAIN)
    for net in nets.networks:
        on_gpu(net)
    for grad in (False, True):
        for step in forecast._steps(nets, recipe, 2, grad):
            terms = [o.loss if grad else o.critic_loss for k, o in enumerate(recipe.objectives) if grad or k in nets.critics]
            made = [term(step, nets.critics.get(0)) for term in terms]  # type: ignore[arg-type]
            assert {loss.device.type for loss in made if loss is not None} <= {"cuda"}


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, "cpu"), (2, "cuda"), (8, "cuda")])
def test_two_processes_take_gpus_where_each_can_have_one(gpus: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert gpus_or_cpu(2).device == device
