"""A finished checkpoint in its folder as an arm: its own weights, never those of an equal recipe elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench.types import Live, Log, Running
from salt_bench.worlds.base import World
from salt_train import checkpoint
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Recipe, checkpoints, read

if TYPE_CHECKING:
    from salt_train.sampler import FlowSampler


@dataclass(frozen=True)
class Finished:
    """The weights in `folder`, run as `recipe` says. They were trained once, at the recipe's own seed: a training seed that is
    asked for changes nothing."""

    recipe: Recipe
    folder: str

    @property
    def world(self) -> World | PromptFile:
        return self.recipe.world

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def sampler(self, seed: int, workdir: Path) -> FlowSampler:
        from salt_train.sampler import FlowSampler

        return FlowSampler.load(self.recipe, checkpoints(workdir), Path(self.folder))

    def live(self, seed: int, workdir: Path, running: Running) -> Live:
        from salt_train.live.ready import going

        return going(self.sampler(seed, workdir), running)

    def at(self, grid: tuple[float, ...]) -> Finished:
        return replace(self, recipe=self.recipe.at(grid))

    def small(self) -> Finished:
        return self

    def identity(self, seed: int) -> Mapping[str, Any]:
        """The recipe and the weights themselves; where they lie says nothing about them."""
        return {"recipe": self.recipe.identity(self.recipe.seed), "weights": checkpoint.digest(Path(self.folder))}

    def protocol(self) -> Mapping[str, Any]:
        return self.recipe.protocol()

    def evidence(self, seed: int, workdir: Path) -> str:
        return checkpoint.digest(Path(self.folder)) if checkpoint.finished(Path(self.folder)) else ""


def checkpoint_arm(word: str) -> Finished | None:
    """The arm that a checkpoint folder on the command line stands for; None where the word is no folder with a recipe."""
    path = Path(word) / checkpoint.RECIPE
    return Finished(read(path), word) if path.is_file() else None
