"""A recipe is everything that a run depends on, and an arm of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench import record
from salt_bench.errors import WrongUse
from salt_bench.types import Live, Log, Running
from salt_bench.worlds.base import World
from salt_train import checkpoint, published
from salt_train.backbones.wan import WanSpec
from salt_train.caches.base import CachePolicy
from salt_train.codecs.pca import PCACodec
from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.flow import check_grid
from salt_train.layout import gpus_or_cpu
from salt_train.objectives.base import Objective
from salt_train.prompt_file import PromptFile
from salt_train.rollout import Chunks
from salt_train.weights import Stored

if TYPE_CHECKING:
    from salt_train.sampler import FlowSampler


@dataclass(frozen=True)
class Sampling:
    """How a trained network is run: noise levels from 1 (the final 0 is implied), "ode" or "sde" steps, guidance scale w. A
    causal network makes its video in `chunks`, and as many latent `frames` as it is asked for (None: the codec's).
    With `drop_last` the last noise level is never evaluated, a measured fault of a public sampler, kept for ablations."""

    grid: tuple[float, ...]
    update: str = "ode"
    guidance: float = 1.0
    chunks: Chunks | None = record.added(None)
    frames: int | None = record.added(None)
    drop_last: bool = record.added(False)

    def __post_init__(self) -> None:
        _check_update(self.update)
        check_grid(self.grid)
        record.at_least(self, frames=1)

    @property
    def levels(self) -> tuple[float, ...]:
        """The noise levels that are evaluated."""
        return self.grid[:-1] if self.drop_last else self.grid

    @property
    def sides(self) -> int:
        """Evaluations that a step costs: under guidance one with the caption and one without."""
        return 1 if self.guidance == 1 else 2

    @property
    def nfe(self) -> int:
        """Network evaluations of one clip, or of each of its chunks."""
        return len(self.levels) * self.sides


@dataclass(frozen=True)
class Stream:
    """Long tuning (LongLive): every update, the critics' too, goes on with the video of the one before, by `new` latent frames
    that are scored together with those just before them. After `longest` frames a new video begins. With probability
    `switches` a video changes its caption once, at the beginning of one of its updates."""

    new: int
    longest: int
    switches: float = 0.0

    def __post_init__(self) -> None:
        record.at_least(self, new=1)
        record.shares(self, "switches")
        if self.longest < self.new:
            raise ValueError(f"the longest video has the {self.new} new frames of one update or more, got {self.longest}")


@dataclass(frozen=True)
class Optimiser:
    """AdamW; `muon` gives the matrices of the transformer blocks to Muon at the same rate (Jordan 2024, RMS matched to AdamW).

    The rate rises linearly over `warmup` updates and falls as a cosine to zero over the last share `decay` of the run."""

    rate: float
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    muon: bool = False
    warmup: int = 0
    decay: float = 0.0

    def __post_init__(self) -> None:
        record.at_least(self, rate=0, weight_decay=0, warmup=0)
        record.positive(self, "clip")
        record.shares(self, "decay")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are in [0, 1), got {self.betas}")


@dataclass(frozen=True)
class LoRA:
    """Only a change of low rank learns: (α/r)·B A of `rank` r with `alpha` α, in every Linear of the transformer blocks."""

    rank: int
    alpha: float

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise ValueError(f"a change has a rank of 1 or more and an alpha above 0, got {self.rank} and {self.alpha:g}")

    @property
    def scale(self) -> float:
        """α/r."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class Recipe:
    """A method as data: a sum of weighted terms over a world, a codec and a network. `teacher` is itself a recipe, trained
    once however many students share it; a student starts from its weights. One update of the student follows
    `critic_updates` updates of each critic. `grid` is the training grid and `update` the step of its rollouts.

    A student may start from the weights of another recipe, `init`, than its teacher's. With `mixed`, pairs of a grid and its
    probability, every update draws its own grid. `chunks` makes the student causal. A training video has the codec's number of
    latent frames, or a number drawn between both ends of `frames`; of a longer one the last frames are scored. `stream` goes
    on with one long video from update to update. `ema_from` starts the average over at that update, which public code does
    (a measured fault, kept for ablations).

    Captions are read by the world's own slots or by the encoder `text`. Critics start from the teacher's weights or from those
    of `critic_init`. With `weights`, a folder or a hub's name, nothing is trained: the network is a published one. With `lora`,
    student and critics keep the weights that they start from, and low-rank changes of them learn."""

    world: World | PromptFile
    codec: PCACodec | WanVAE
    backbone: WanSpec
    objectives: tuple[Objective, ...]
    sampling: Sampling
    steps: int
    batch: int
    optimiser: Optimiser
    ema: float = 0.99
    teacher: Recipe | None = None
    grid: tuple[float, ...] = ()
    update: str = "ode"
    critic_updates: int = 0
    critic: Optimiser | None = None
    seed: int = 0
    init: Recipe | None = record.added(None)
    mixed: tuple[tuple[tuple[float, ...], float], ...] = record.added(())
    chunks: Chunks | None = record.added(None)
    frames: tuple[int, int] | None = record.added(None)
    stream: Stream | None = record.added(None)
    ema_from: int = record.added(0)
    text: UMT5 | None = record.added(None)
    critic_init: Recipe | None = record.added(None)
    weights: str = record.added("")
    lora: LoRA | None = record.added(None)

    def __post_init__(self) -> None:
        record.at_least(self, steps=0, batch=1, critic_updates=0, ema_from=0)
        record.shares(self, "ema")
        _check_update(self.update)
        if self.grid:
            check_grid(self.grid)
        check_grid(*(grid for grid, _ in self.mixed))
        if self.frames and not 1 <= self.frames[0] <= self.frames[1]:
            raise ValueError(f"`frames` are the fewest and the most latent frames of a training video, got {self.frames}")
        if self.chunks and not self.sampling.chunks:
            raise ValueError("a causal student is sampled in chunks too: give `sampling` its `chunks`")
        odds = [odds for _, odds in self.mixed]
        if odds and (min(odds) < 0 or abs(sum(odds) - 1) > 1e-9):
            raise ValueError(f"the probabilities of mixed grids are 0 or more and sum to 1, got {odds}")
        if (self.frames or self.stream) and not self.chunks:
            raise ValueError("only a causal student makes videos of other lengths: give the recipe its `chunks`")
        if self.lora and not self.start:
            raise ValueError("a low-rank change is one of weights that are there: give the recipe an `init` or a `teacher`")

    def at(self, grid: tuple[float, ...]) -> Recipe:
        """The same checkpoint under another grid."""
        return replace(self, sampling=replace(self.sampling, grid=tuple(grid)))

    def remembering(self, cache: CachePolicy, frames: int | None = None) -> Recipe:
        """The same checkpoint with another cache at inference, and videos of `frames` latent frames (None: as before)."""
        if self.sampling.chunks is None:
            raise ValueError("only a causal student has a cache: this recipe is sampled without chunks")
        chunks = replace(self.sampling.chunks, cache=cache)
        return replace(self, sampling=replace(self.sampling, chunks=chunks, frames=frames or self.sampling.frames))

    def small(self) -> Recipe:
        """Two updates at most, and so for every stage before; the teacher that ships with the package stays what it is."""
        if checkpoint.shipped(self.fingerprint()):
            return self
        teacher, init, critic_init = (stage and stage.small() for stage in (self.teacher, self.init, self.critic_init))
        return replace(self, steps=min(self.steps, 2), teacher=teacher, init=init, critic_init=critic_init)

    @property
    def start(self) -> Recipe | None:
        """The recipe whose weights the student starts from, where they fit."""
        return self.init or self.teacher

    @property
    def before(self) -> tuple[Recipe, ...]:
        """The recipes whose weights this one needs."""
        return tuple(stage for stage in (self.teacher, self.init, self.critic_init) if stage)

    def seeded(self, seed: int) -> Recipe:
        """This recipe with another training seed; the teacher keeps its own."""
        return replace(self, seed=seed)

    def identity(self, seed: int) -> Mapping[str, Any]:
        """What training depends on: all but `sampling`, here and in the teachers."""
        return _without_sampling(record.dump(self.seeded(seed)))

    def fingerprint(self, seed: int | None = None) -> str:
        """Names the checkpoint's folder."""
        return record.fingerprint(self.identity(self.seed if seed is None else seed))

    def protocol(self) -> Mapping[str, Any]:
        return record.dump(self.sampling)

    def made(self, seed: int, workdir: Path) -> bool:
        """Whether nothing is left to train: the weights are published ones, or those of a finished checkpoint."""
        return bool(self.weights or checkpoint.find(self.fingerprint(seed), checkpoints(workdir)))

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        """Trains what is not there yet: the teachers first, then this. True if anything was trained."""
        if self.made(seed, workdir):
            return False
        for stage in self.before:
            stage.prepare(stage.seed, workdir, log)
        from salt_train.train import train

        train(self.seeded(seed), checkpoints(workdir), log)
        return True

    def prepare_together(self, processes: int, seed: int, workdir: Path, log: Log) -> bool:
        """As `prepare`, the last stage in so many processes, on GPUs where there are as many; the stages before it, which
        others share, in one."""
        if self.made(seed, workdir):
            return False
        from salt_train import launch

        launch.train(self.seeded(seed), workdir, processes, gpus_or_cpu(processes))
        return True

    def sampler(self, seed: int, workdir: Path) -> FlowSampler:
        from salt_train.sampler import FlowSampler

        return FlowSampler.load(self.seeded(seed), checkpoints(workdir))

    def live(self, seed: int, workdir: Path, running: Running) -> Live:
        from salt_train.live.ready import going

        return going(self.sampler(seed, workdir), running)

    def evidence(self, seed: int, workdir: Path) -> str:
        if self.weights:
            return published.digest(self.weights)
        folder = checkpoint.find(self.fingerprint(seed), checkpoints(workdir))
        return checkpoint.digest(folder) if folder else ""


def stored(recipe: Recipe, root: Path) -> Stored:
    """The weights of `recipe`: published ones, or its finished checkpoint under `root` or in the package.

    Raises UserError where there are none."""
    if recipe.weights:
        return published.stored(recipe.weights)
    folder = checkpoint.find(recipe.fingerprint(), root)
    if folder is None:
        raise checkpoint.CheckpointError(f"no checkpoint {recipe.fingerprint()} under {root}; train it first")
    return checkpoint.stored(folder)


def checkpoints(workdir: Path) -> Path:
    """Where checkpoints lie in a work folder, each under its fingerprint, shared by all studies."""
    return workdir / "checkpoints"


def _without_sampling(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _without_sampling(v) for k, v in data.items() if k != "sampling"}
    return data


def _check_update(update: str) -> None:
    if update not in ("ode", "sde"):
        raise ValueError(f'an update is "ode" or "sde", got {update!r}')


def read(path: Path) -> Recipe:
    """The recipe in a JSON file, as `salt-train inspect` shows it or a checkpoint folder holds it.

    Raises WrongUse where the file holds no recipe."""
    try:
        found = record.load(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise WrongUse(f"{path} is no recipe of this version: {error}") from None
    if not isinstance(found, Recipe):
        raise WrongUse(f"{path} holds a {type(found).__name__}, not a recipe")
    return found
