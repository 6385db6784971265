"""What one update looks at: prompts, noise, grid and exits by name, for one share of a batch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from salt_bench.rng import Draws
from salt_bench.types import Prompt
from salt_train import codecs
from salt_train.backbones.base import Backbone
from salt_train.objectives.base import Step
from salt_train.parallel import WHOLE, Share
from salt_train.recipe import Recipe
from salt_train.rollout import Chunks, Renoise
from salt_train.streaming import LongVideo, switch_at

NEW = LongVideo()


@dataclass(eq=False)
class Players:
    """The networks of a run. Critics go by the position of the objective that brought them."""

    student: Backbone
    ema: Backbone
    teacher: Backbone | None
    critics: dict[int, Backbone]

    @property
    def networks(self) -> list[Backbone]:
        return [self.student, self.ema, *self.critics.values(), *([self.teacher] if self.teacher else [])]


class Steps:
    """Makes the `Step` of every update: prompts, noise and exit by name, the batch cut into shares."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        self.captions = codecs.captions(recipe.world, recipe.text)
        self.codec = codecs.fitted(recipe.codec, root)

    @property
    def window(self) -> int:
        """Latent frames that the score networks see."""
        return self.recipe.codec.shape()[1]

    def __call__(
        self, nets: Players, draws: Draws, index: int, grad: bool, video: LongVideo = NEW, share: Share = WHOLE
    ) -> Step:
        """The update called `draws` for the videos in `share`, which go on with `video`."""
        recipe = self.recipe
        mine, device = share.of(recipe.batch), nets.student.std.device
        prompts, switch = self._captions(video, draws, mine)
        cond = self.captions(prompts).to(device)
        sources = tuple(draws("video", i) for i in range(recipe.batch))[mine]
        frames = self._frames(video, draws)
        channels, _, *size = recipe.codec.shape()
        noise = torch.stack([torch.from_numpy(s("noise").normal((channels, frames, *size))) for s in sources])
        grid = _drawn(recipe, draws)
        count = len(recipe.chunks.sizes(frames, begun=video.position > 0)) if recipe.chunks else 1
        return Step(
            index=index,
            student=nets.student,
            teacher=nets.teacher,
            ema=nets.ema,
            cond=cond,
            null=self.captions.null(cond).to(device),
            grid=grid,
            update=recipe.update,
            exits=(recipe.chunks or Chunks()).exits(draws, grid, count),
            noise=noise.to(device),
            renoise=Renoise(sources),
            draws=draws,
            data=lambda: self._true(prompts, draws("render").choice(2**31)).to(device),
            grad=grad,
            chunks=recipe.chunks,
            window=self.window if frames > self.window else None,
            carried=video.refreshed(nets.student, cond),
            going_on=recipe.stream is not None,
            switch=switch and (switch[0], switch[1].to(device)),
            share=share,
        )

    def _true(self, prompts: list[Prompt], seed: int) -> Tensor:
        """Latents of true videos (B, C, F, H, W)."""
        return self.codec.encode(torch.from_numpy(self.recipe.world.render(prompts, seed)))

    def carried(self, video: LongVideo, step: Step) -> LongVideo:
        """Where the run's long video stands after `step`, if it makes one."""
        return video.after(step, self.recipe.stream, self.window) if self.recipe.stream else video

    def _frames(self, video: LongVideo, draws: Draws) -> int:
        """How many latent frames this update makes."""
        recipe = self.recipe
        if recipe.stream:
            return recipe.stream.new if video.carried else self.window
        low, high = recipe.frames or (self.window, self.window)
        step = recipe.chunks.size if recipe.chunks else 1
        return low + step * draws("frames").choice((high - low) // step + 1) if high > low else low

    def _captions(self, video: LongVideo, draws: Draws, mine: slice) -> tuple[list[Prompt], tuple[int, Tensor] | None]:
        """The share's prompts, and the change of caption that lies in this update: its frame and the new captions."""
        recipe, stream = self.recipe, self.recipe.stream
        if stream is None:
            return recipe.world.batch(draws("prompts"), recipe.batch)[mine], None
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


def _drawn(recipe: Recipe, draws: Draws) -> tuple[float, ...]:
    """The grid of one update."""
    left = draws("steps").uniform() if recipe.mixed else 0.0
    for grid, odds in recipe.mixed:
        left -= odds
        if left < 0:
            return grid
    return recipe.mixed[-1][0] if recipe.mixed else recipe.grid
