"""Low-rank changes: what learns, what does not, and that a checkpoint holds what was trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from causal_parts import causal
from crews import close, losses, sc_dmd, trained
from safetensors.torch import load_file, save_file
from test_resume import Stopped, stop_after
from tiny import GRID4, contents, quiet, step, student, teacher, wan
from torch import Tensor, nn
from weights import pick

from salt_bench import record
from salt_bench.errors import WrongUse
from salt_bench.rng import Draws
from salt_train import checkpoint, lora, setups
from salt_train.backbones.base import Backbone
from salt_train.backbones.wan import WanSpec
from salt_train.convert import lora as reading
from salt_train.convert.conversion import Wish, convert
from salt_train.forecast import forecast
from salt_train.layout import PLAIN, Layout
from salt_train.lora import Adapted, adapted, begun
from salt_train.methods.longlive import longlive
from salt_train.methods.salt_longlive import salt_longlive
from salt_train.objectives.dmd import DMD
from salt_train.plan import demands
from salt_train.recipe import LoRA, Recipe
from salt_train.steps import Steps
from salt_train.train import build, train, update

CHANGE = LoRA(4, 6.0)
FILES = {"student.safetensors", "lora.safetensors", "log.jsonl", "recipe.json"}


def tuned(steps: int = 6) -> Recipe:
    return replace(student(steps=steps), lora=CHANGE)


def moved(net: Backbone, change: LoRA = CHANGE) -> Backbone:
    """An adapted network with numbers in both of its factors."""
    begun(adapted(net, change), Draws(0))
    for name, layer in net.named_modules():
        if isinstance(layer, Adapted):
            layer.lora_B.data.copy_(torch.from_numpy(Draws(1)(name).normal(tuple(layer.lora_B.shape))) / 10)
    return net


def layers(net: nn.Module) -> dict[str, Adapted]:
    return {name: layer for name, layer in net.named_modules() if isinstance(layer, Adapted)}


def velocity(net: Backbone) -> Tensor:
    given = step(net)
    found: Tensor = net(given.noise, torch.tensor([0.3, 0.8]), given.cond).velocity
    return found


def fresh(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


# --- one network -------------------------------------------------------------------------------------------------------------


def test_every_linear_of_the_blocks_is_adapted_and_nothing_else_learns() -> None:
    net, plain = adapted(wan(layers=2), CHANGE), wan(layers=2)
    wanted = {name for name, m in plain.named_modules() if isinstance(m, nn.Linear) and ".blocks." in name}
    assert set(layers(net)) == wanted
    assert len(wanted) == 2 * 10
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert learning == {f"{name}.lora_{side}" for name in wanted for side in "AB"}


def test_at_first_nothing_is_changed_and_draws_go_by_name() -> None:
    one, two, other = (begun(adapted(wan(), CHANGE), Draws(seed)) for seed in (0, 0, 1))
    assert torch.equal(velocity(one), velocity(wan()))
    key = "net.blocks.0.attn1.to_q"
    assert torch.equal(layers(one)[key].lora_A, layers(two)[key].lora_A)
    assert not torch.equal(layers(one)[key].lora_A, layers(other)[key].lora_A)
    values = torch.cat([layer.lora_A.flatten() for layer in layers(one).values()])
    assert float(values.detach().std()) == pytest.approx((3 * 16) ** -0.5, rel=0.1)


def test_the_gradients_are_those_of_the_full_weights() -> None:
    """∂L/∂B = (α/r)·G Aᵀ and ∂L/∂A = (α/r)·Bᵀ G, where G is the gradient of the full weight: in every layer of a network."""
    net = moved(wan())
    velocity(net).square().sum().backward()
    full = wan()
    full.load_state_dict(lora.merged(net.state_dict(), CHANGE))
    velocity(full).square().sum().backward()
    for name, layer in layers(net).items():
        gradient = full.get_submodule(name).weight.grad
        assert torch.allclose(layer.lora_B.grad, 1.5 * gradient @ layer.lora_A.T, rtol=1e-3, atol=1e-4), name
        assert torch.allclose(layer.lora_A.grad, 1.5 * layer.lora_B.T @ gradient, rtol=1e-3, atol=1e-4), name
        assert float(layer.lora_B.grad.abs().max()) > 1e-3, name


def test_at_full_rank_a_step_of_b_is_a_step_of_the_weight() -> None:
    """With A orthogonal and B at 0, B - η ∂L/∂B makes the weight W - η G."""
    torch.manual_seed(0)
    base, x = nn.Linear(8, 5), torch.randn(20, 8)
    base.weight.requires_grad_(True)
    base(x).square().sum().backward()
    layer = Adapted(nn.Linear(8, 5), LoRA(8, 8))
    layer.base.load_state_dict(base.state_dict())
    layer.lora_A.data.copy_(nn.init.orthogonal_(torch.empty(8, 8)))
    layer(x).square().sum().backward()
    layer.lora_B.data -= 0.01 * layer.lora_B.grad
    with torch.no_grad():
        base.weight -= 0.01 * base.weight.grad
        assert torch.allclose(layer(x), base(x), atol=1e-4)


def test_merged_weights_do_what_the_adapters_do() -> None:
    net, plain = moved(wan(layers=2)), wan(layers=2)
    before = velocity(plain)
    plain.load_state_dict(lora.merged(net.state_dict(), CHANGE))
    assert torch.allclose(velocity(net), velocity(plain), rtol=1e-6, atol=2e-6)
    assert float((velocity(net) - before).detach().abs().max()) > 1e-2
    assert lora.merged(plain.state_dict(), None).keys() == plain.state_dict().keys()


def test_checkpointing_gives_the_same_gradients() -> None:
    one, two = moved(wan()), moved(wan())
    two.recompute()
    for net in (one, two):
        velocity(net).square().sum().backward()
    for name, layer in layers(one).items():
        assert torch.allclose(layer.lora_A.grad, layers(two)[name].lora_A.grad, atol=1e-6)  # type: ignore[arg-type]


def test_what_was_written_is_merged_by_convert_to_the_same_bits(tmp_path: Path) -> None:
    spec = WanSpec(128, 1, 2, 32, frequencies=16, waves=0, precondition=False)
    net = spec.build((16, 1, 4, 4), 16, torch.ones(16))
    save_file(net.state_dict(), tmp_path / "base.safetensors")
    state = moved(net).state_dict()
    save_file(lora.peft(state, CHANGE), tmp_path / "lora.safetensors")
    wish = Wish(to="diffusers", dtype="fp32", lora=tmp_path / "lora.safetensors")
    convert(pick(tmp_path / "base.safetensors"), tmp_path / "out", wish, lambda text: None)
    made = load_file(tmp_path / "out" / "transformer" / "diffusion_pytorch_model.safetensors")
    wanted = {name.removeprefix("net."): tensor for name, tensor in lora.merged(state, CHANGE).items()}
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in wanted.items())
    assert "base_model.model.blocks.1.attn2.to_k.lora_A.weight" in lora.peft(state, CHANGE)


# --- a run -------------------------------------------------------------------------------------------------------------------


def test_an_update_changes_the_factors_alone(root: Path) -> None:
    recipe = tuned()
    nets, steps = build(recipe, root), Steps(recipe, root)
    before = {name: fresh(net.state_dict()) for name, net in (("student", nets.student), ("critic", nets.critics[0]))}
    first = velocity_of(nets.student)
    for i in range(2):
        assert update(nets, recipe, steps, i)["gradient"] > 0
    for name, net in (("student", nets.student), ("critic", nets.critics[0])):
        after = net.state_dict()
        same = {key for key in after if torch.equal(after[key], before[name][key])}
        assert same == {key for key in after if ".lora_" not in key}, name
    assert not torch.equal(velocity_of(nets.student), first)
    average, start = nets.ema.state_dict(), before["student"]
    assert all(torch.equal(average[key], start[key]) != (".lora_" in key) for key in average)


def velocity_of(net: Backbone) -> Tensor:
    draws = Draws(5)
    shape = (1, 6, *net.place.shape[2:])  # type: ignore[attr-defined]
    words = net.net.condition_embedder.text_embedder.linear_1.in_features  # type: ignore[union-attr, attr-defined]
    x, cond = (torch.from_numpy(draws(name).normal(size)) for name, size in (("x", shape), ("cond", (1, 3, words))))
    with torch.no_grad():
        found: Tensor = net(x, torch.tensor([0.5]), cond).velocity
    return found


def test_the_optimisers_remember_the_factors_alone(root: Path) -> None:
    def remembered(recipe: Recipe) -> int:
        nets = build(recipe, root)
        steppers = (nets.optimiser, *nets.critic_optimisers.values())
        for stepper in steppers:
            stepper.begin()
        states = [state for one in steppers for part in one.parts for state in part.state.values()]
        return sum(t.numel() for state in states for name, t in state.items() if name != "step")

    block = teacher().backbone
    numbers = sum(4 * (a + b) for a, b in [(block.width, block.width)] * 8 + [(block.width, block.hidden)] * 2)
    assert remembered(tuned()) == 2 * 2 * numbers < remembered(student())


@pytest.mark.usefixtures("often")
def test_a_stopped_run_ends_in_the_same_bytes(root: Path, tmp_path: Path) -> None:
    recipe = tuned()
    calm = contents(train(recipe, root, quiet))
    assert set(calm) == FILES
    wild = root.rename(tmp_path / "wild")
    folder = wild / recipe.fingerprint()
    for path in folder.iterdir():
        path.unlink()
    for n in (3, 5):
        with pytest.raises(Stopped):
            train(recipe, wild, stop_after(n, recipe.steps))
    saved = torch.load(folder / "resume.pt", weights_only=True)["nets"]
    assert all(".lora_" in key for name in ("student", "ema", "critic0") for key in saved[name])
    assert contents(train(recipe, wild, quiet)) == calm


def test_the_checkpoint_is_a_plain_one_with_its_changes_beside_it(root: Path) -> None:
    recipe = tuned()
    folder = train(recipe, root, quiet)
    base = checkpoint.weights(checkpoint.find(teacher().fingerprint(), root) or root)
    found, changes = checkpoint.weights(folder), reading.read(folder / "lora.safetensors")
    assert found.keys() == base.keys()
    for name, tensor in base.items():
        change = changes.get(name.removeprefix("net."))
        assert torch.equal(found[name], change.added(tensor, 1.0) if change else tensor), name
        assert torch.equal(found[name], tensor) != bool(change), name
    after = replace(student(DMD(), steps=1), init=recipe)
    assert torch.equal(build(after, root).student.net.proj_out.weight, found["net.proj_out.weight"])  # type: ignore[union-attr]


@pytest.mark.parametrize("layout", [PLAIN, Layout(shard=True)], ids=["whole", "sharded"])
def test_two_processes_have_the_losses_of_one(layout: Layout, root: Path, tmp_path: Path) -> None:
    recipe, other = replace(sc_dmd(8), lora=CHANGE), tmp_path / "other"
    shutil.copytree(root, other)
    trained(recipe, other, 2, layout)
    train(recipe, root, quiet)
    assert close(losses(recipe, root), losses(recipe, other))
    one, two = (checkpoint.weights(folder / recipe.fingerprint()) for folder in (root, other))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


def test_a_change_needs_weights_that_fit(root: Path) -> None:
    with pytest.raises(ValueError, match="give the recipe an `init` or a `teacher`"):
        replace(teacher(), lora=CHANGE)
    with pytest.raises(ValueError, match="a rank of 1 or more"):
        LoRA(0, 1.0)
    with pytest.raises(WrongUse, match="is another network"):
        build(replace(tuned(), backbone=replace(tuned().backbone, hidden=20)), root)


def test_only_the_long_stage_of_wan_has_it() -> None:
    for make in (longlive, salt_longlive):
        recipe = make(setup="wan21")
        assert recipe.lora == LoRA(256, 256)
        assert (recipe.optimiser.rate, recipe.critic and recipe.critic.rate) == (1e-5, 2e-6)
        assert recipe.init is not None
        assert recipe.init.lora is None
        assert record.load(record.dump(recipe)) == recipe
        assert make().lora is None
    assert setups.setup("wan21_14b").stages["long"].lora == LoRA(256, 256)
    assert "lora" not in record.dump(student())
    assert tuned().fingerprint() != student().fingerprint()


def test_a_plan_counts_no_gradients_and_no_moments_of_what_stays() -> None:
    recipe = causal(DMD(), grid=GRID4)
    full, low = (forecast(one, PLAIN, 2, (1,)).lasting for one in (recipe, replace(recipe, lora=CHANGE)))
    width, hidden = recipe.backbone.width, recipe.backbone.hidden
    factors = recipe.backbone.layers * 4 * (8 * 2 * width + 2 * (width + hidden))
    for name in ("student", "critic0"):
        assert low[name].weights == full[name].weights + 4 * factors
        assert (low[name].gradients, low[name].moments) == (4 * factors, 8 * factors)
    assert low["teacher"] == full["teacher"]
    one, two = (demands(replace(r, batch=2), Layout(micro=2), (1,), 10**9)[0] for r in (recipe, replace(recipe, lora=CHANGE)))
    assert two.rows["student: moments"] < one.rows["student: moments"]
