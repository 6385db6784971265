"""How much memory a run needs before it is run: the networks and one update of theirs, on tensors without data.

What lasts (weights, moments, averages) is counted from the networks; what comes and goes (states of the rollout, caches, what
autograd keeps) is what `memory.Ledger` sees while the real terms of the recipe run at full size. Two things are left out, since
the peak does not depend on them: a rollout makes one step without and one with gradient per chunk, and networks have two blocks
or four, from which their full depth follows, moment by moment (`Moments`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from salt_bench.rng import Draws
from salt_train import codecs
from salt_train.backbones.base import Backbone, frozen
from salt_train.backbones.ulysses import Ulysses
from salt_train.layout import Layout
from salt_train.lora import adapted
from salt_train.memory import KEPT, Ledger, booked
from salt_train.objectives.base import Objective, Step
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.gate import Gate
from salt_train.parallel import dtype
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Recipe
from salt_train.rollout import Chunks, Renoise
from salt_train.stepper import Stepper
from salt_train.steps import Players
from salt_train.streaming import LongVideo

FEW = 2  # blocks
Working = dict[str, dict[int, float]]


@dataclass(frozen=True)
class Lasting:
    """Bytes that one network keeps through a run if it is not cut: its weights in float32, what its optimiser remembers, its
    gradients while they are there; and what of it is gathered at once where it is cut."""

    weights: int
    moments: int = 0
    gradients: int = 0
    gathered: int = 0


@dataclass(frozen=True, eq=False)
class Forecast:
    """`lasting` by role. `working` by phase ("critics", "student") and by the number of processes among which networks are cut:
    the most that comes and goes, gradients included. `cache` are the bytes of keys and values at the end of a rollout, `text`
    those of captions."""

    lasting: dict[str, Lasting]
    working: Working
    cache: int
    text: int


@lru_cache(maxsize=32)
def forecast(recipe: Recipe, layout: Layout, videos: int, cuts: tuple[int, ...]) -> Forecast:
    """What an update of `videos` videos at once needs, with networks cut among each number of processes in `cuts`. Of the
    layout, precisions, checkpointing and how many share a video count."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    torch.ones((), requires_grad=True).backward()  # autograd counts devices once: without data it would see some that are not
    with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True):
        lasting = _lasting(_players(recipe, layout), recipe, layout)
        working = _extended(recipe, layout, videos, cuts)
        text = 2 * _captions(recipe, videos).nbytes  # and as much for their absence
    return Forecast(lasting, working, _cache(recipe, layout, videos), text)


def _extended(recipe: Recipe, layout: Layout, videos: int, cuts: tuple[int, ...]) -> Working:
    """What comes and goes at the recipe's own depths."""
    depths = _depths(recipe)
    few = {role: min(depth, FEW) for role, depth in depths.items()}
    base = _seen(_cut(recipe, few), layout, videos, cuts)
    found = dict(base)
    for role in (role for role, depth in depths.items() if depth > FEW):
        more = min(depths[role], 2 * FEW)
        deeper = _seen(_cut(recipe, few | {role: more}), layout, videos, cuts)
        for phase, peaks in base.items():
            found[phase] = found[phase] + (deeper[phase] - peaks) * (depths[role] - FEW) / (more - FEW)
    return {phase: dict(zip(cuts, peaks.max(0).tolist(), strict=True)) for phase, peaks in found.items()}


def _depths(recipe: Recipe) -> dict[str, int]:
    stages = {"teacher": recipe.teacher, "critic_init": recipe.critic_init}
    return {"student": recipe.backbone.layers} | {role: stage.backbone.layers for role, stage in stages.items() if stage}


def _cut(recipe: Recipe, depths: dict[str, int]) -> Recipe:
    """The recipe with networks of as many blocks as `depths` says of a role."""

    def network(stage: Recipe | None, role: str) -> Recipe | None:
        return stage and replace(stage, backbone=replace(stage.backbone, layers=depths[role]))

    teacher, critic = network(recipe.teacher, "teacher"), network(recipe.critic_init, "critic_init")
    share = depths["teacher"] / recipe.teacher.backbone.layers if recipe.teacher else 1.0
    terms = tuple(_reaching(term, share) for term in recipe.objectives)
    return replace(network(recipe, "student") or recipe, teacher=teacher, critic_init=critic, objectives=terms)


def _reaching(term: Objective, share: float) -> Objective:
    """A term that looks behind a block of its teacher, as far up as before in one of that share of the depth."""
    if isinstance(term, Gate):
        return replace(term, term=_reaching(term.term, share))
    return replace(term, tap=int(term.tap * share)) if isinstance(term, CacheAlignment) else term


def _seen(recipe: Recipe, layout: Layout, videos: int, cuts: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What comes and goes, as seen: by phase the peaks (moments, cuts)."""
    nets = _players(recipe, layout)
    ratio = 4 / next(nets.student.parameters()).element_size()  # gradients are kept in float32
    ledger = Ledger(tuple(ratio / cut for cut in cuts))
    ledger.book(KEPT, (t for net in nets.networks for t in (*net.parameters(), *net.buffers())))
    moments = Moments(ledger)
    for net in nets.networks:
        moments.watch(net)
    with ledger:
        return _working(nets, recipe, moments, videos)


@dataclass(eq=False)
class Moments:
    """The peaks of one moment after the other; a new one begins wherever a network is entered or left, forward or backward.
    Networks of any depth have as many, and the peak of each is a straight line over the depth. Their maximum is not: the worst
    at two blocks need not be the worst at thirty (Salt, Wan 2.1 1.3B: 77 GB by that line, 91 by these and on a GPU)."""

    ledger: Ledger
    peaks: list[list[float]] = field(default_factory=list)

    def turn(self) -> None:
        self.peaks.append(self.ledger.peaks)
        self.ledger.start()

    def watch(self, net: Backbone) -> None:
        whole = net.pieces()[-1]
        whole.register_forward_pre_hook(lambda _module, _args: self.turn())
        whole.register_forward_hook(lambda _module, _args, out: self._left(out[0]))

    def _left(self, velocity: Tensor) -> None:
        self.turn()
        if velocity.requires_grad:
            velocity.register_hook(lambda _gradient: self.turn())

    def of(self, steps: Iterator[Step], learn: Callable[[Step], None]) -> np.ndarray:
        """Those of `learn` at every one of `steps` (moments, cuts)."""
        self.peaks = []
        self.ledger.start()
        for step in steps:
            learn(step)
        self.turn()
        return np.array(self.peaks)


def _players(recipe: Recipe, layout: Layout) -> Players:
    """The networks with the weights that they compute with."""

    def made(spec: Any, learns: bool) -> Backbone:
        channels = recipe.codec.shape()[0]
        built: Backbone = spec.build(recipe.codec.shape(), _captions(recipe, 1).shape[-1], torch.ones(channels))
        net = adapted(built, recipe.lora if learns else None)
        if layout.rounded(learns):
            _round(net)
        if layout.checkpointing:
            net.recompute()
        if layout.sequence > 1:
            net.join(Ulysses(ranks=layout.sequence))
        return net

    teacher = frozen(made(recipe.teacher.backbone, False)) if recipe.teacher else None
    critic = recipe.critic_init or recipe.teacher
    critics = {}
    for i, objective in enumerate(recipe.objectives):
        if critic and (net := objective.critic(lambda: made(critic.backbone, True))) is not None:
            critics[i] = net
    return Players(made(recipe.backbone, True), frozen(made(recipe.backbone, True)), teacher, critics)


def _round(net: Backbone) -> None:
    """Gives `net` weights in bfloat16. `Module.to` cannot, where tensors have no data."""
    net.compute = torch.bfloat16
    for module in net.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            setattr(module, name, torch.nn.Parameter(p.detach().to(torch.bfloat16), p.requires_grad))


def _lasting(nets: Players, recipe: Recipe, layout: Layout) -> dict[str, Lasting]:
    found = {"student": _learner(nets.student, Stepper(nets.student, recipe.optimiser, 1), layout)}
    found["average"] = Lasting(4 * _numbers(nets.ema))
    if nets.teacher:
        found["teacher"] = Lasting(4 * _numbers(nets.teacher), gathered=_gathered(nets.teacher, layout, False))
    for i, critic in nets.critics.items():
        assert recipe.critic is not None
        found[f"critic{i}"] = _learner(critic, Stepper(critic, recipe.critic, 1), layout)
    return found


def _learner(net: Backbone, stepper: Stepper, layout: Layout) -> Lasting:
    """AdamW remembers two numbers of each that it changes, Muon one."""
    each = [
        (2 if isinstance(part, torch.optim.AdamW) else 1, group["params"])
        for part in stepper.parts
        for group in part.param_groups
    ]
    remembered = sum(count * p.numel() for count, parameters in each for p in parameters)
    return Lasting(4 * _numbers(net), 4 * remembered, 4 * _learning(net), _gathered(net, layout, True))


def _numbers(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _learning(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def _gathered(net: Backbone, layout: Layout, learns: bool) -> int:
    """Of a network that is cut: two blocks at once, the one at work and the next, and what belongs to none; in a backward pass
    also a block's gradients before they are summed, and as float32 while they are."""
    each = dtype(layout.products).itemsize
    *blocks, root = net.pieces()
    rest = _numbers(root) - sum(map(_numbers, blocks))
    gradients = (each + 4) * max(map(_learning, blocks)) if learns else 0
    return each * (2 * max(map(_numbers, blocks)) + rest) + gradients


def _working(nets: Players, recipe: Recipe, moments: Moments, videos: int) -> dict[str, np.ndarray]:
    """The peaks of both phases, over every grid that an update may draw, and over the pieces of a long video."""
    booked(moments.ledger, nets.student.parameters())
    for critic in nets.critics.values():
        booked(moments.ledger, critic.parameters())
    working = {}
    if nets.critics:
        working["critics"] = moments.of(_steps(nets, recipe, videos, False), lambda step: _critics(nets, recipe, step))
    working["student"] = moments.of(_steps(nets, recipe, videos, True), lambda step: _student(nets, recipe, step))
    return working


def _critics(nets: Players, recipe: Recipe, step: Step) -> None:
    for k, critic in nets.critics.items():
        recipe.objectives[k].critic_loss(step, critic).backward()
        critic.zero_grad()


def _student(nets: Players, recipe: Recipe, step: Step) -> None:
    terms = [(o.weight, o.loss(step, nets.critics.get(k))) for k, o in enumerate(recipe.objectives)]
    said = [weight * loss for weight, loss in terms if loss is not None]
    if said:
        torch.stack(said).sum().backward()
    del terms, said
    nets.student.zero_grad()


def _steps(nets: Players, recipe: Recipe, videos: int, grad: bool) -> Iterator[Step]:
    grids = [grid for grid, _ in recipe.mixed] or [recipe.grid]
    for grid in {_speaking(recipe, grid): grid for grid in grids}.values() if grad else grids[:1]:
        step = _step(nets, recipe, videos, grad, grid, LongVideo())
        yield step
        if recipe.stream:
            video = LongVideo().after(step, recipe.stream, recipe.codec.shape()[1])
            yield _step(nets, recipe, videos, grad, grid, video)


def _speaking(recipe: Recipe, grid: tuple[float, ...]) -> tuple[bool, ...]:
    """Which terms have something to say on a grid: nothing else that costs memory depends on it."""
    return tuple(not isinstance(t, Gate) or t.speaks_on(grid) for t in recipe.objectives)


def _step(nets: Players, recipe: Recipe, videos: int, grad: bool, grid: tuple[float, ...], video: LongVideo) -> Step:
    """An update as late as any: whatever begins late has begun."""
    channels, window, *side = recipe.codec.shape()
    frames = recipe.stream.new if recipe.stream and video.carried else max(recipe.frames or (window,))
    chunks = recipe.chunks or Chunks()
    count = len(recipe.chunks.sizes(frames, begun=video.position > 0)) if recipe.chunks else 1
    device = nets.student.std.device
    cond = _captions(recipe, videos).to(device)
    return Step(
        index=10**9,
        student=nets.student,
        teacher=nets.teacher,
        ema=nets.ema,
        cond=cond,
        null=torch.zeros_like(cond),
        grid=grid,
        update=recipe.update,
        exits=tuple(min(1, len(chunks.grid(i, grid)) - 1) for i in range(count)) if grid else (0,) * count,
        noise=torch.empty(videos, channels, frames, *side, device=device),
        renoise=Renoise(tuple(Draws(0)(i) for i in range(videos))),
        draws=Draws(0),
        data=lambda: torch.empty(videos, *recipe.codec.shape(), device=device),
        grad=grad,
        chunks=recipe.chunks,
        window=window if frames > window else None,
        carried=video.refreshed(nets.student, cond),
        going_on=recipe.stream is not None,
    )


def _captions(recipe: Recipe, videos: int) -> Tensor:
    """Embeddings of the shape that the recipe's captions have (B, L, D)."""
    if recipe.text:
        return torch.empty(videos, recipe.text.tokens, recipe.text.words)
    read, world = codecs.captions(recipe.world, None), recipe.world
    assert not isinstance(world, PromptFile)
    return torch.empty(videos, len(world.slots(world.prompts("train")[0])), read.words)


def _cache(recipe: Recipe, layout: Layout, videos: int) -> int:
    """Keys and values at the end of a rollout; a reference rollout, as alignment makes it, has others of its own in turn."""
    if not recipe.chunks:
        return 0
    frames = max(recipe.frames or (recipe.codec.shape()[1],))
    kept = len(recipe.chunks.cache.stored(recipe.stream.longest if recipe.stream else frames))
    frame = recipe.backbone.frame_bytes(recipe.codec.shape(), dtype(layout.products).itemsize)
    return videos * kept * frame // layout.sequence
