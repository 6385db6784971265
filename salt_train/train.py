"""train(recipe): one loop from a recipe to a checkpoint."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from salt_bench import files, record
from salt_bench.errors import UserError
from salt_bench.rng import Draws
from salt_bench.types import Log
from salt_train import checkpoint, codecs
from salt_train.backbones.base import Backbone, copy_weights, frozen
from salt_train.codecs.captions import Captions
from salt_train.objectives.base import Objective, Step
from salt_train.recipe import Optimiser, Recipe
from salt_train.rollout import Renoise

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

    def state(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"student": self.student, "ema": self.ema, "optimiser": self.optimiser}
        parts |= {f"critic{i}": c for i, c in self.critics.items()}
        parts |= {f"critic_optimiser{i}": o for i, o in self.critic_optimisers.items()}
        return {name: part.state_dict() for name, part in parts.items()}

    def load(self, state: dict[str, Any]) -> None:
        self.student.load_state_dict(state["student"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        for i, critic in self.critics.items():
            critic.load_state_dict(state[f"critic{i}"])
            self.critic_optimisers[i].load_state_dict(state[f"critic_optimiser{i}"])


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
            nets.load(paused["nets"])
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
    """Networks as they stand before the first update: a student starts from its teacher, a teacher from named draws."""
    codec = codecs.fitted(recipe.codec, root)
    words = Captions(recipe.world).words

    def fresh(spec: Any, seed: int) -> Backbone:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(Draws(seed)("init").choice(2**62))
            return spec.build(recipe.codec.shape(), words, codec.std)

    teacher = None
    if recipe.teacher:
        found = checkpoint.find(recipe.teacher.fingerprint(), root)
        if not found:
            raise checkpoint.CheckpointError(f"the teacher {recipe.teacher.fingerprint()} is not under {root}; train it first")
        teacher = fresh(recipe.teacher.backbone, 0)
        checkpoint.fill(teacher, found)
        frozen(teacher)
    student = fresh(recipe.backbone, recipe.seed)
    if teacher is not None and recipe.teacher and recipe.teacher.backbone == recipe.backbone:
        copy_weights(teacher, student)
    critics = {}
    for i, objective in enumerate(recipe.objectives):
        critic = objective.critic(partial(copy.deepcopy, teacher)) if teacher is not None else None
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
        self.captions = Captions(recipe.world)
        self.codec = codecs.fitted(recipe.codec, root)

    def __call__(self, nets: Networks, draws: Draws, rank: int, ranks: int, grad: bool) -> Step:
        recipe = self.recipe
        if recipe.batch % ranks:
            raise ValueError(f"a batch of {recipe.batch} does not divide among {ranks} processes; change the one or the other")
        mine = slice(rank * recipe.batch // ranks, (rank + 1) * recipe.batch // ranks)
        prompts = recipe.world.batch(draws("prompts"), recipe.batch)[mine]
        cond = self.captions(prompts)
        sources = tuple(draws("video", i) for i in range(recipe.batch))[mine]
        noise = torch.stack([torch.from_numpy(s("noise").normal(recipe.codec.shape())) for s in sources])
        return Step(
            student=nets.student,
            teacher=nets.teacher,
            cond=cond,
            null=self.captions.null(cond),
            grid=recipe.grid,
            update=recipe.update,
            exit=draws("exit").choice(len(recipe.grid)) if recipe.grid else 0,
            noise=noise,
            renoise=Renoise(sources),
            draws=draws if ranks == 1 else draws("rank", rank),
            data=lambda: self.codec.encode(torch.from_numpy(recipe.world.render(prompts, draws("render").choice(2**31)))),
            grad=grad,
        )


def update(nets: Networks, recipe: Recipe, steps: Steps, i: int, rank: int, ranks: int) -> dict[str, Any]:
    """One update of the student after `critic_updates` of the critics; returns its row of the log."""
    row: dict[str, Any] = {"step": i}
    for n in range(recipe.critic_updates):
        step = steps(nets, Draws(recipe.seed)("critic", i, n), rank, ranks, grad=False)
        for k, critic in nets.critics.items():
            loss = recipe.objectives[k].critic_loss(step, critic)
            row[f"critic{k}"] = _value(loss, i, f"the critic of {type(recipe.objectives[k]).__name__}")
            nets.critic_optimisers[k].step(loss, ranks)
    step = steps(nets, Draws(recipe.seed)("student", i), rank, ranks, grad=True)
    losses = {k: objective.loss(step, nets.critics.get(k)) for k, objective in enumerate(recipe.objectives)}
    said = {k: v for k, v in losses.items() if v is not None}
    for k, loss in said.items():
        row[_name(recipe.objectives[k])] = _value(loss, i, type(recipe.objectives[k]).__name__)
    if said:
        total = torch.stack([recipe.objectives[k].weight * loss for k, loss in said.items()]).sum()
        row["gradient"] = nets.optimiser.step(total, ranks)
        average(nets.ema, nets.student, recipe.ema, i)
    return row


def average(ema: nn.Module, student: nn.Module, decay: float, i: int) -> None:
    """Exponential moving average of the weights, from the first update on; the decay starts low, to forget the start."""
    with torch.no_grad():
        torch._foreach_lerp_(list(ema.parameters()), list(student.parameters()), 1 - min(decay, (1 + i) / (10 + i)))


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
