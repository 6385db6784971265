"""train(recipe): one loop from a recipe to a checkpoint."""

from __future__ import annotations

import copy
import itertools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from salt_bench import files, record
from salt_bench.errors import UserError
from salt_bench.rng import Draws
from salt_bench.types import Log, Prompt
from salt_train import checkpoint, codecs
from salt_train.backbones.base import Backbone, copy_weights, frozen
from salt_train.objectives.base import Objective, Step
from salt_train.recipe import Optimiser, Recipe, fill
from salt_train.rollout import Chunks, Renoise
from salt_train.streaming import LongVideo, switch_at

SAVE_EVERY = 20  # updates between two resume files: a killed run repeats at most so many


class TrainingError(UserError):
    """Training cannot go on; the message says why and what to change."""


@dataclass(eq=False)
class Networks:
    """Every network of a run. Critics and their optimisers go by the position of the objective that brought them."""

    student: Backbone
    ema: Backbone
    teacher: Backbone | None
    critics: dict[int, Backbone]
    optimiser: Stepper
    critic_optimisers: dict[int, Stepper]
    video: LongVideo = field(default_factory=LongVideo)

    def state(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"student": self.student, "ema": self.ema, "optimiser": self.optimiser}
        parts |= {f"critic{i}": c for i, c in self.critics.items()}
        parts |= {f"critic_optimiser{i}": o for i, o in self.critic_optimisers.items()}
        return {name: part.state_dict() for name, part in parts.items()} | {"video": self.video.state()}

    def load(self, state: dict[str, Any], recipe: Recipe) -> None:
        self.student.load_state_dict(state["student"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        for i, critic in self.critics.items():
            critic.load_state_dict(state[f"critic{i}"])
            self.critic_optimisers[i].load_state_dict(state[f"critic_optimiser{i}"])
        if recipe.chunks:
            self.video = LongVideo.load(state["video"], recipe.chunks.cache)


def train(recipe: Recipe, root: Path, log: Log) -> Path:
    """Trains `recipe` into root/<fingerprint> and returns that folder. Killed and called again, it goes on from its resume
    file to the same bytes; two processes that want the same checkpoint wait for each other.

    Under torchrun every process works on its share of each batch and gradients are averaged."""
    folder = root / recipe.fingerprint()
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    with files.lock(root / ".locks" / f"{folder.name}-{rank}.lock"):
        if checkpoint.finished(folder):
            return folder
        nets = build(recipe, root)
        paused = checkpoint.resume(folder)
        rows: list[dict[str, Any]] = []
        if paused:
            nets.load(paused["nets"], recipe)
            rows = json.loads(paused["log"])
        steps = Steps(recipe, root)
        for i in range(len(rows), recipe.steps):
            rows.append(update(nets, recipe, steps, i, rank, ranks))
            log("train", (i + 1) / recipe.steps)
            if (i + 1) % SAVE_EVERY == 0 and i + 1 < recipe.steps and rank == 0:
                checkpoint.pause(folder, {"nets": nets.state(), "log": json.dumps(rows)})
        if rank == 0:
            checkpoint.finish(folder, nets.ema.state_dict(), rows, record.dump(recipe))
    return folder


def build(recipe: Recipe, root: Path) -> Networks:
    """Networks as they stand before the first update: a student starts from another's weights, a teacher from named draws."""
    codec = codecs.fitted(recipe.codec, root)
    words = codecs.captions(recipe.world, recipe.text).words

    def fresh(spec: Any, seed: int) -> Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(Draws(seed)("init").choice(2**62))
            return spec.build(recipe.codec.shape(), words, codec.std)

    def trained(stage: Recipe) -> Backbone:
        net = fresh(stage.backbone, 0)
        fill(net, stage, root)
        return net

    teacher = frozen(trained(recipe.teacher)) if recipe.teacher else None
    student = fresh(recipe.backbone, recipe.seed)
    start = recipe.init or recipe.teacher
    if start and recipe.backbone.takes(start.backbone):
        copy_weights(trained(start) if recipe.init or teacher is None else teacher, student)

    def scorer() -> Backbone:
        assert teacher is not None
        return trained(recipe.critic_init) if recipe.critic_init else copy.deepcopy(teacher)

    critics = {}
    for i, objective in enumerate(recipe.objectives):
        critic = objective.critic(scorer) if teacher is not None else None
        if critic is not None:
            critics[i] = critic.requires_grad_(True)
    if critics and recipe.critic is None:
        raise ValueError("an objective brings a critic, but the recipe's `critic` optimiser is None; give it one")
    steppers = {i: Stepper(c, recipe.critic, recipe.steps * recipe.critic_updates) for i, c in critics.items() if recipe.critic}
    ema = frozen(copy.deepcopy(student))
    return Networks(student, ema, teacher, critics, Stepper(student, recipe.optimiser, recipe.steps), steppers)


class Steps:
    """Makes the `Step` of every update: prompts, noise and exit by name, the batch cut into ranks."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.captions = codecs.captions(recipe.world, recipe.text)
        self.codec = codecs.fitted(recipe.codec, root)

    @property
    def window(self) -> int:
        """Latent frames that the score networks see."""
        return self.recipe.codec.shape()[1]

    def __call__(self, nets: Networks, draws: Draws, index: int, rank: int, ranks: int, grad: bool) -> Step:
        recipe = self.recipe
        if recipe.batch % ranks:
            raise ValueError(f"a batch of {recipe.batch} does not divide among {ranks} processes; change the one or the other")
        mine = slice(rank * recipe.batch // ranks, (rank + 1) * recipe.batch // ranks)
        prompts, switch = self._captions(nets, draws, mine)
        cond = self.captions(prompts)
        sources = tuple(draws("video", i) for i in range(recipe.batch))[mine]
        frames = self._frames(nets, draws)
        channels, _, *size = recipe.codec.shape()
        noise = torch.stack([torch.from_numpy(s("noise").normal((channels, frames, *size))) for s in sources])
        grid = _drawn(recipe, draws)
        count = len(recipe.chunks.sizes(frames, begun=nets.video.position > 0)) if recipe.chunks else 1
        return Step(
            index=index,
            student=nets.student,
            teacher=nets.teacher,
            ema=nets.ema,
            cond=cond,
            null=self.captions.null(cond),
            grid=grid,
            update=recipe.update,
            exits=(recipe.chunks or Chunks()).exits(draws, grid, count),
            noise=noise,
            renoise=Renoise(sources),
            draws=draws if ranks == 1 else draws("rank", rank),
            data=lambda: self.codec.encode(torch.from_numpy(recipe.world.render(prompts, draws("render").choice(2**31)))),
            grad=grad,
            chunks=recipe.chunks,
            window=self.window if frames > self.window else None,
            carried=nets.video.refreshed(nets.student, cond),
            going_on=recipe.stream is not None,
            switch=switch,
        )

    def carried(self, video: LongVideo, step: Step) -> LongVideo:
        """Where the run's long video stands after `step`, if it makes one."""
        return video.after(step, self.recipe.stream, self.window) if self.recipe.stream else video

    def _frames(self, nets: Networks, draws: Draws) -> int:
        """How many latent frames this update makes."""
        recipe = self.recipe
        if recipe.stream:
            return recipe.stream.new if nets.video.carried else self.window
        low, high = recipe.frames or (self.window, self.window)
        step = recipe.chunks.size if recipe.chunks else 1
        return low + step * draws("frames").choice((high - low) // step + 1) if high > low else low

    def _captions(self, nets: Networks, draws: Draws, mine: slice) -> tuple[list[Prompt], tuple[int, Tensor] | None]:
        """This process's prompts, and the change of caption that lies in this update: its frame and the new captions."""
        recipe, stream = self.recipe, self.recipe.stream
        if stream is None:
            return recipe.world.batch(draws("prompts"), recipe.batch)[mine], None
        video = nets.video
        named = Draws(recipe.seed)("long video", video.number)
        at = switch_at(stream, self.window, named)
        if at is None or video.position < at:
            return self._endless(named("prompts"))[mine], None
        after = self._endless(named("prompts after"))[mine]
        return after, (at, self.captions(after)) if video.position == at else None

    def _endless(self, draws: Draws) -> list[Prompt]:
        """A batch of prompts whose truth may go on for as long as one likes."""
        world, found = self.recipe.world, []
        for n in itertools.count():
            found += [p for p in world.batch(draws(n), self.recipe.batch) if world.endless(p)]
            if len(found) >= self.recipe.batch:
                return found[: self.recipe.batch]
        raise AssertionError


def update(nets: Networks, recipe: Recipe, steps: Steps, i: int, rank: int, ranks: int) -> dict[str, Any]:
    """One update of the student after `critic_updates` of the critics; returns its row of the log."""
    row: dict[str, Any] = {"step": i}
    for n in range(recipe.critic_updates):
        step = steps(nets, Draws(recipe.seed)("critic", i, n), i, rank, ranks, grad=False)
        for k, critic in nets.critics.items():
            loss = recipe.objectives[k].critic_loss(step, critic)
            row[f"critic{k}"] = _value(loss, i, f"the critic of {type(recipe.objectives[k]).__name__}")
            nets.critic_optimisers[k].step(loss, ranks)
        nets.video = steps.carried(nets.video, step)
    step = steps(nets, Draws(recipe.seed)("student", i), i, rank, ranks, grad=True)
    losses = {k: objective.loss(step, nets.critics.get(k)) for k, objective in enumerate(recipe.objectives)}
    said = {k: v for k, v in losses.items() if v is not None}
    for k, loss in said.items():
        row[_name(recipe.objectives[k])] = _value(loss, i, type(recipe.objectives[k]).__name__)
    if said:
        total = torch.stack([recipe.objectives[k].weight * loss for k, loss in said.items()]).sum()
        row["gradient"] = nets.optimiser.step(total, ranks)
        average(nets.ema, nets.student, recipe.ema, i, recipe.ema_from)
    nets.video = steps.carried(nets.video, step)
    return row


def average(ema: nn.Module, student: nn.Module, decay: float, i: int, start: int = 0) -> None:
    """Exponential moving average of the weights, from the first update on; the decay starts low, to forget the start. With
    `start`, it begins at that update, from the weights of then and at the full decay."""
    share = 1 - min(decay, (1 + i) / (10 + i)) if not start else float(i <= start) or 1 - decay
    with torch.no_grad():
        torch._foreach_lerp_(list(ema.parameters()), list(student.parameters()), share)


def _drawn(recipe: Recipe, draws: Draws) -> tuple[float, ...]:
    """The grid of one update."""
    left = draws("steps").uniform() if recipe.mixed else 0.0
    for grid, odds in recipe.mixed:
        left -= odds
        if left < 0:
            return grid
    return recipe.mixed[-1][0] if recipe.mixed else recipe.grid


class Stepper:
    """A network's optimiser with its schedule and clipping."""

    def __init__(self, net: nn.Module, spec: Optimiser, total: int) -> None:
        self.net, self.spec, self.total, self.count = net, spec, total, 0
        matrices = [p for name, p in net.named_parameters() if spec.muon and "blocks" in name and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        rest = [p for p in net.parameters() if id(p) not in chosen]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, spec.rate, betas=spec.betas, weight_decay=spec.weight_decay, fused=True)
        ]
        if matrices:
            muon = torch.optim.Muon(matrices, spec.rate, weight_decay=spec.weight_decay, adjust_lr_fn="match_rms_adamw")
            self.parts.append(muon)

    def step(self, loss: Tensor, ranks: int) -> float:
        """Backward, average over the processes, clip, step; returns the gradient's norm before clipping."""
        parameters = list(self.net.parameters())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        if ranks > 1:
            _mean_over_ranks([g for g in gradients if g is not None], ranks)
        norm = float(nn.utils.clip_grad_norm_(parameters, self.spec.clip))
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.spec.rate * pace(self.count, self.total, self.spec)
            part.step()
            part.zero_grad()
        self.count += 1
        return norm

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def pace(count: int, total: int, spec: Optimiser) -> float:
    """The share of the full rate at update `count` of `total`: linear warm-up, flat, cosine to zero."""
    rise = min(1.0, (count + 1) / (spec.warmup + 1))
    left = (total - count) / total
    return rise * (0.5 - 0.5 * math.cos(math.pi * left / spec.decay) if left < spec.decay else 1.0)


def _mean_over_ranks(gradients: list[Tensor], ranks: int) -> None:
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= ranks
    for g, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        g.copy_(part.view_as(g))


def _value(loss: Tensor, i: int, what: str) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss of {what} became {value} at update {i}; lower the rate or the term's weight")
    return value


def _name(objective: Objective) -> str:
    return type(objective).__name__
