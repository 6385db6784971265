"""What the methods share on one scale: networks, data, grids, and the numbers of every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from salt_bench.errors import WrongUse
from salt_train.backbones.wan import WanSpec
from salt_train.caches.window import Window
from salt_train.flow import even
from salt_train.layout import Fleet
from salt_train.objectives.base import Objective
from salt_train.recipe import LoRA, Optimiser, Recipe, Stream
from salt_train.rollout import Chunks


@dataclass(frozen=True)
class Stage:
    """How long and how fast a stage learns: student updates, videos per update, optimiser, average of the weights. `critic` is
    the critics' optimiser, who make `critic_updates` updates for each of the student's. With `lora`, low-rank changes learn."""

    steps: int
    batch: int
    optimiser: Optimiser
    ema: float = 0.0
    ema_from: int = 0
    critic: Optimiser | None = None
    critic_updates: int = 0
    lora: LoRA | None = None


@dataclass(frozen=True)
class Setup:
    """`teacher` is what a student follows; students and critics start from `base`, or from the teacher's weights where that is
    None. `guidance` is the scale w of the real score, `ode_guidance` and `distill_guidance` are those of a teacher's ODE and of
    consistency distillation, whose path has `path` steps. `stages` are "ar", "ode", "cd", "dmd", "salt" (distribution
    matching with Salt's parts) and "long". Alignment looks at the teacher after block `tap`, and begins at the student update
    that `aligned_from` has for a method."""

    recipe: Recipe
    """World, codec, text encoder and the bidirectional network, which every recipe of this scale shares."""
    causal: WanSpec
    teacher: Recipe
    base: Recipe | None
    chunks: Chunks
    window: Window
    stream: Stream
    shift: float
    guidance: float
    ode_guidance: float
    distill_guidance: float
    path: int
    stages: Mapping[str, Stage]
    autoregressive: Objective
    """The term of the first stage of Causal Forcing."""
    tap: int
    aligned_from: Mapping[str, int]
    layouts: Mapping[str, Fleet] = field(default_factory=dict)
    """By name, the machines on which every stage of every method fits; batches stay what they are, by accumulation."""

    def fleet(self, name: str) -> Fleet:
        """The layout called `name`.

        Raises WrongUse where there is none."""
        if name not in self.layouts:
            raise WrongUse(f"no layout {name!r} at this scale; known: {', '.join(self.layouts) or 'none'}")
        return self.layouts[name]

    def grid(self, points: int) -> tuple[float, ...]:
        """The even grid of `points` noise levels under this scale's shift."""
        return even(points, self.shift)

    @property
    def start(self) -> Recipe:
        """Whose weights a student starts from where a method says no more."""
        return self.base or self.teacher
