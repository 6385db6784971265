"""Every network of a run, made where it ends up: one that is spread over processes is never whole in any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from salt_bench.errors import WrongUse
from salt_bench.rng import Draws
from salt_train import lora
from salt_train.backbones.base import Backbone, frozen
from salt_train.backbones.wan import WanSpec
from salt_train.layout import Layout
from salt_train.parallel import laid_out
from salt_train.recipe import Recipe
from salt_train.sources import Source
from salt_train.weights import load


@dataclass(frozen=True)
class Builder:
    """Makes the networks of `recipe`, each by itself: two with the same weights read them twice, and copy nothing."""

    recipe: Recipe
    layout: Layout
    source: Source

    def student(self, average: bool = False) -> Backbone:
        """The student, or the `average` of its weights as it stands at first."""
        recipe, start = self.recipe, self.recipe.start
        if start and not recipe.backbone.takes(start.backbone):
            if recipe.lora:
                rule = "a low-rank change is one of weights that fit"
                raise WrongUse(f"{rule}: the recipe's `init` (or teacher) is another network")
            start = None
        return self._made(recipe.backbone, recipe.seed, start, self._changes("student"), still=average)

    def teacher(self) -> Backbone | None:
        stage = self.recipe.teacher
        return self._made(stage.backbone, 0, stage, still=True) if stage else None

    def critic(self, number: int) -> Backbone:
        """A critic for the objective at that position."""
        stage = self.recipe.critic_init or self.recipe.teacher
        assert stage is not None
        return self._made(stage.backbone, 0, stage, self._changes("critic", number))

    def _changes(self, *name: str | int) -> Draws:
        return Draws(self.recipe.seed)("lora")(*name)

    def _made(
        self, spec: WanSpec, seed: int, start: Recipe | None, changes: Draws | None = None, still: bool = False
    ) -> Backbone:
        """A network with the weights of `start`, or with those that `seed` draws. It learns if it has draws for its low-rank
        `changes`, whether there are any or not; without gradients if `still`."""
        later = self.layout.sharded and start is not None
        with without_data() if later else nullcontext():
            net = self._built(spec, seed)
        net = lora.adapted(net, self.recipe.lora if changes else None)
        net = frozen(net) if still else net
        if not later:
            self._begin(net, start, changes)
        net = laid_out(net, self.layout, learns=changes is not None)
        if later:
            self._begin(net, start, changes)
        return net

    def _built(self, spec: WanSpec, seed: int) -> Backbone:
        recipe = self.recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(Draws(seed)("init").choice(2**62))
            return spec.build(recipe.codec.shape(), self.source.words(recipe), self.source.std(recipe))

    def _begin(self, net: Backbone, start: Recipe | None, changes: Draws | None) -> None:
        if start:
            load(lora.bases(net), self.source.weights(start))
        if changes:
            lora.begun(net, changes)


@contextmanager
def without_data() -> Iterator[None]:
    """Inside, networks are built whose parameters have a shape and no data ("meta"); buffers have theirs."""

    def empty(_module: nn.Module, _name: str, p: nn.Parameter | None) -> nn.Parameter | None:
        return None if p is None else nn.Parameter(p.to("meta"), p.requires_grad)

    hook = register_module_parameter_registration_hook(empty)  # type: ignore[arg-type]  # it may return one, says its text
    try:
        yield
    finally:
        hook.remove()
