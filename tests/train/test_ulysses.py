"""A network whose tokens and heads lie on several processes says what it says alone, and so do its gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from causal_parts import DEEP, FRAMES, made
from crews import together
from torch import Tensor, nn

from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.backbones.ulysses import SINGLE, Ulysses
from salt_train.backbones.wan import Wan
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.layout import Layout
from salt_train.parallel import team

SIZE = (6, 2)  # three tokens a frame, which two processes cannot share evenly
Pass = Callable[[Backbone, Tensor], Output]


def network(heads: int) -> Wan:
    torch.manual_seed(0)
    net = replace(DEEP, width=12 * heads, heads=heads).build((4, FRAMES, *SIZE), 5, torch.linspace(0.5, 1.5, 4))
    assert isinstance(net, Wan)
    return net.double()


def at_once(net: Backbone, x: Tensor) -> Output:
    """All frames see each other, and the second block's tokens are asked for."""
    return net(x, torch.tensor([0.3, 0.7]), made("c", 2, 3, 5).double(), tap=1)


def forced(net: Backbone, x: Tensor) -> Output:
    """Chunks of three in one pass against a clean past, every frame at its own noise level."""
    levels = torch.linspace(0.1, 0.9, FRAMES).expand(2, -1)
    return net(
        x, levels, made("c", 2, 3, 5).double(), causal=Causal((3, 3, 3), Full(), made("clean", *x.shape).double()), tap=0
    )


def recalled(policy: CachePolicy) -> Pass:
    """Frame by frame, each against the memory of those before it."""

    def run(net: Backbone, x: Tensor) -> Output:
        cond = made("c", 2, 3, 5).double()
        cache, found = net.begin(cond, policy), []
        for i in range(4):
            now = x[:, :, i : i + 1]
            found.append(net(now, torch.full((2,), 0.5), cond, cache=cache).velocity)
            cache = net.remember(now, cond, cache)
        return Output(torch.cat(found, 2))

    return run


PASSES: dict[str, Pass] = {
    "at once": at_once,
    "teacher forcing": forced,
    "full": recalled(Full()),
    "window": recalled(Window(window=3, sink=1)),
    "relative": recalled(Relative(window=3, sink=1)),
}


def loss(out: Output) -> Tensor:
    return sum((t.sin() * made("weights", *t.shape)).sum() for t in (out.velocity, out.features) if t is not None)  # type: ignore[return-value]


@pytest.mark.parametrize("ranks", [2, 3])
def test_values_and_gradients_are_those_of_one_process(ranks: int) -> None:
    """Of weights the mean over the processes; of the input, which every process has, what each finds."""

    def work() -> None:
        for name, run in PASSES.items():
            for again in (False, True):
                alone, shared = network(ranks), network(ranks)
                shared.join(team(Layout(sequence=ranks)))
                if again:
                    shared.recompute()
                found = [gradients(net, run) for net in (alone, shared)]
                (value, by_input, by_weight), (other, other_input, other_weight) = found
                assert torch.allclose(value, other, rtol=1e-7), name
                assert near(by_input, other_input), name
                for wanted, part in zip(by_weight, other_weight, strict=True):
                    torch.distributed.all_reduce(part)
                    assert near(wanted, part / ranks), name
                assert sum(bool(g.abs().max() > 1e-6) for g in by_weight) > 0.9 * len(by_weight), name

    together(ranks, work)


def near(one: Tensor, two: Tensor) -> bool:
    """The stock norms compute in float32, whatever the weights are."""
    return bool((one - two).abs().max() <= 2e-6 * one.abs().max() + 1e-12)


def gradients(net: nn.Module, run: Pass) -> tuple[Tensor, Tensor, list[Tensor]]:
    x = made("x", 2, 4, FRAMES, *SIZE).double().requires_grad_()
    value = loss(run(net, x))  # type: ignore[arg-type]
    given = torch.autograd.grad(value, [x, *net.parameters()], allow_unused=True)
    by_input, *by_weight = (torch.zeros(1, dtype=torch.float64) if g is None else g for g in given)
    return value.detach(), by_input, by_weight


def test_a_cache_holds_the_heads_of_its_process() -> None:
    def work() -> None:
        alone, shared = network(2), network(2)
        among = team(Layout(sequence=2))
        shared.join(among)
        x, cond = made("x", 2, 4, 3, *SIZE).double(), made("c", 2, 3, 5).double()
        whole, own = (net.remember(x, cond, net.begin(cond, Full())) for net in (alone, shared))
        assert own.bytes * 2 == whole.bytes
        for mine, every in zip((*own.keys, *own.values), (*whole.keys, *whole.values), strict=True):
            assert torch.allclose(mine, every.chunk(2, -1)[among.rank], atol=1e-12)

    together(2, work)


def test_tokens_are_cut_into_neighbours() -> None:
    cuts = [Ulysses(rank, 3).cut(8) for rank in range(3)]
    assert [cut.mine for cut in cuts] == [slice(0, 3), slice(3, 6), slice(6, 8)]
    x = torch.arange(8.0)[None, :, None]
    assert torch.equal(torch.cat([cut.split(x) for cut in cuts], 1), x)
    assert SINGLE.cut(8).heads(x)[0] is x is SINGLE.cut(8).gathered(x)


def test_without_a_group_shapes_are_those_of_the_largest_part() -> None:
    """What a forecast goes through, in one process."""
    net = network(3)
    net.join(Ulysses(ranks=3))
    out = forced(net, made("x", 2, 4, FRAMES, *SIZE).double())
    assert (out.velocity.shape, out.features is not None and out.features.shape) == ((2, 4, FRAMES, *SIZE), (2, 27, 36))
    cond = made("c", 2, 3, 5).double()
    cache = net.remember(made("x", 2, 4, 1, *SIZE).double(), cond, net.begin(cond, Full()))
    assert {t.shape for t in (*cache.keys, *cache.values)} == {(2, 3, 12)}


def test_heads_that_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match="3 processes share the heads of a network, and this one has 2"):
        network(2).join(Ulysses(ranks=3))
