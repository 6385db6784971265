"""train(recipe): one loop from a recipe to a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from salt_bench import files, record
from salt_bench.errors import UserError
from salt_bench.rng import Draws
from salt_bench.types import Log
from salt_train import checkpoint, lora, paused
from salt_train.backbones.base import Backbone
from salt_train.building import Builder
from salt_train.layout import PLAIN, Layout
from salt_train.notes import Notes
from salt_train.objectives.base import Objective, Step
from salt_train.parallel import ALONE, Crew, Share, crew, whole
from salt_train.recipe import Recipe
from salt_train.sources import Files, Source
from salt_train.stepper import Stepper, average
from salt_train.steps import Players, Steps
from salt_train.streaming import LongVideo, joined, mapped

SAVE_EVERY = 20  # updates between two resume files: a killed run repeats at most so many


class TrainingError(UserError):
    """Training cannot go on; the message says why and what to change."""


@dataclass(eq=False)
class Networks(Players):
    """The networks of a run and what makes them learn, optimisers by the critics' positions; a long video goes on in each part
    of the batch that this process takes."""

    optimiser: Stepper
    critic_optimisers: dict[int, Stepper]
    videos: list[LongVideo] = field(default_factory=lambda: [LongVideo()])

    @property
    def learning(self) -> dict[str, Backbone | Stepper]:
        """What changes in training, by name, but for the videos."""
        parts: dict[str, Backbone | Stepper] = {"student": self.student, "ema": self.ema, "optimiser": self.optimiser}
        parts |= {f"critic{i}": c for i, c in self.critics.items()}
        return parts | {f"critic_optimiser{i}": o for i, o in self.critic_optimisers.items()}

    def states(self) -> dict[str, dict[str, Any]]:
        """What training has made of everything that learns, by name."""
        return {n: part.state_dict() if isinstance(part, Stepper) else lora.learnt(part) for n, part in self.learning.items()}

    def state(self) -> dict[str, Any]:
        """What a resume file holds; the video is that of this process's whole share."""
        return self.states() | {"video": joined([video.state() for video in self.videos])}

    def load(self, state: dict[str, Any], recipe: Recipe) -> None:
        for name, part in self.learning.items():
            if isinstance(part, Stepper):
                part.load_state_dict(state[name])
            else:
                lora.restore(part, state[name])
        self.go_on(state["video"], recipe)

    def go_on(self, video: dict[str, Any], recipe: Recipe) -> None:
        """Takes up the long video of this process's share, part by part."""
        shares = [Share(i, len(self.videos)) for i in range(len(self.videos))]
        if recipe.chunks:
            policy = recipe.chunks.cache
            self.videos = [LongVideo.load(mapped(lambda t, s=s: t[s.of(len(t))], video), policy) for s in shares]


def train(recipe: Recipe, root: Path, log: Log, layout: Layout = PLAIN) -> Path:
    """Trains `recipe` into root/<fingerprint> and returns that folder. Killed and called again, it goes on from its resume
    file to the same bytes; two processes that want the same checkpoint wait for each other.

    Under torchrun every process works on its share of each batch and gradients are averaged. A run goes on with another number
    of processes or another layout than it was stopped with, to the same losses but for rounding."""
    folder = root / recipe.fingerprint()
    ours = crew(recipe.batch, layout)
    with files.lock(root / ".locks" / f"{folder.name}-{ours.rank}.lock"):
        if checkpoint.finished(folder):
            return folder
        nets = build(recipe, root, layout)
        nets.videos = [LongVideo()] * ours.parts
        rows = paused.resume(folder, nets, recipe, ours)
        steps = Steps(recipe, root)
        for i in range(len(rows), recipe.steps):
            rows.append(update(nets, recipe, steps, i, ours))
            log("train", (i + 1) / recipe.steps)
            if (i + 1) % SAVE_EVERY == 0 and i + 1 < recipe.steps:
                paused.pause(folder, nets, rows, ours)
        state = gathered(nets.ema, ours)
        if ours.rank == 0:
            changes = lora.peft(state, recipe.lora)
            checkpoint.finish(folder, lora.merged(state, recipe.lora), rows, record.dump(recipe), changes)
    return folder


def build(recipe: Recipe, root: Path, layout: Layout = PLAIN, source: Source | None = None) -> Networks:
    """Networks as they stand before the first update: a student starts from another's weights, a teacher from named draws.
    `source` has what they start from, where that is not what lies under `root`."""
    make = Builder(recipe, layout, source or Files(root))
    student, ema, critics = make.student(), make.student(average=True), {}
    for i, objective in enumerate(recipe.objectives):
        critic = objective.critic(lambda i=i: make.critic(i)) if recipe.teacher else None  # type: ignore[misc]
        if critic is not None:
            critics[i] = critic
    if critics and recipe.critic is None:
        raise ValueError("an objective brings a critic, but the recipe's `critic` optimiser is None; give it one")
    updates = recipe.steps * recipe.critic_updates
    steppers = {i: Stepper(c, recipe.critic, updates, layout) for i, c in critics.items() if recipe.critic}
    optimiser = Stepper(student, recipe.optimiser, recipe.steps, layout)
    return Networks(student, ema, make.teacher(), critics, optimiser, steppers)


def gathered(net: Backbone, ours: Crew) -> dict[str, Tensor]:
    """All of a network's tensors in the first process; in others, none is kept."""
    found = {}
    for name, tensor in net.state_dict().items():
        full = whole(tensor)
        if ours.rank == 0:
            found[name] = full.cpu()
    return found


def update(nets: Networks, recipe: Recipe, steps: Steps, i: int, ours: Crew = ALONE) -> dict[str, Any]:
    """One update of the student after `critic_updates` of the critics; returns its row of the log."""
    row: dict[str, Any] = {"step": i}
    names, notes = _names(recipe.objectives), Notes(ours)
    for n in range(recipe.critic_updates):
        losses = Losses(ours, i)
        for step in shared(nets, steps, Draws(recipe.seed)("critic", i, n), i, False, ours):
            for k, critic in nets.critics.items():
                loss = recipe.objectives[k].critic_loss(step, critic)
                losses.add(f"critic{k}", f"the critic of {recipe.objectives[k].name}", loss)
                notes.take(names[k], step.said)
                nets.critic_optimisers[k].learn(loss / ours.parts)
        row |= losses.means()
        for stepper in nets.critic_optimisers.values():
            stepper.step(ours)
    losses = Losses(ours, i)
    for step in shared(nets, steps, Draws(recipe.seed)("student", i), i, True, ours):
        said = {}
        for k, objective in enumerate(recipe.objectives):
            term = objective.loss(step, nets.critics.get(k))
            notes.take(names[k], step.said)
            if term is not None:
                said[k] = term
                losses.add(names[k], objective.name, term)
        if said:
            total = torch.stack([recipe.objectives[k].weight * loss for k, loss in said.items()]).sum()
            nets.optimiser.learn(total / ours.parts)
    row |= losses.means() | notes.means()
    if losses.said:
        row["gradient"] = nets.optimiser.step(ours)
        row["clipped"] = float(row["gradient"] > recipe.optimiser.clip)
        average(nets.ema, nets.student, recipe.ema, i, recipe.ema_from)
    return row


def shared(nets: Networks, steps: Steps, draws: Draws, i: int, grad: bool, ours: Crew) -> Iterator[Step]:
    """The `Step` of each of this process's parts of a batch; behind each, its long video has gone on."""
    for part, share in enumerate(ours.shares()):
        step = steps(nets, draws, i, grad, nets.videos[part], share)
        yield step
        nets.videos[part] = steps.carried(nets.videos[part], step)


class Losses:
    """The losses of one update, gathered from the parts of its batch."""

    def __init__(self, ours: Crew, i: int) -> None:
        self.ours, self.i = ours, i
        self.said: dict[str, float] = {}
        self.whose: dict[str, str] = {}

    def add(self, name: str, whose: str, loss: Tensor) -> None:
        self.said[name] = self.said.get(name, 0.0) + float(loss.detach()) / self.ours.parts
        self.whose[name] = whose

    def means(self) -> dict[str, float]:
        """The means over the whole batch.

        Raises TrainingError, in every process, where one of them is no number."""
        found = self.ours.mean(self.said)
        for name, value in found.items():
            if not math.isfinite(value):
                what = f"the loss of {self.whose[name]} became {value} at update {self.i}"
                raise TrainingError(f"{what}; lower the rate or the term's weight")
        return found


def _names(objectives: Sequence[Objective]) -> list[str]:
    """What the log calls them: their own names, with their positions where two have the same."""
    names = [objective.name for objective in objectives]
    return [name if names.count(name) == 1 else f"{name}{k}" for k, name in enumerate(names)]
