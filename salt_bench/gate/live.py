"""An arm as one side of a comparison: its clips are made, or read, and judged as they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salt_bench import record, registry
from salt_bench.cell import scored
from salt_bench.errors import UserError
from salt_bench.gate.gauge import Outputs
from salt_bench.gate.protocol import clip_facts
from salt_bench.gate.stored import Stored
from salt_bench.judges.base import Features, Judge
from salt_bench.rng import Draws
from salt_bench.samplers.replay import Replay, named
from salt_bench.types import Arm, Clip, Log, Prompt, Score
from salt_bench.worlds.base import OfWorld

WHOLE_WORLD = 256
"""How many of a world's test prompts are asked where nobody says how many."""


@dataclass(frozen=True)
class Live:
    """An arm by the word that named it; checkpoints and codecs lie in `runs`."""

    name: str
    arm: Arm
    runs: Path

    def prompts(self) -> tuple[Prompt, ...] | None:
        """The prompts that this side has videos of; None for an arm that can be asked for others."""
        if not isinstance(self.arm, Replay):
            return None
        return tuple(known_prompts().get(text) or Prompt(text, text, "") for text in named(Path(self.arm.folder)))

    def sample_seeds(self) -> tuple[int, ...] | None:
        """The sample seeds that every prompt has a video of; None for an arm that can be asked for others."""
        if not isinstance(self.arm, Replay):
            return None
        return tuple(sorted(set.intersection(*map(set, named(Path(self.arm.folder)).values()))))

    def world_prompts(self) -> tuple[Prompt, ...]:
        """The test prompts of the world that the arm was made for."""
        if not isinstance(self.arm, OfWorld):
            raise UserError(
                f"{self.name} belongs to no world: give --captions FILE, or compare it with videos or saved results"
            )
        return self.arm.world.prompts("test")

    def protocol(self) -> dict[str, Any]:
        """What is known before any clip is made; videos do not say how they were sampled."""
        return {} if isinstance(self.arm, Replay) else {"sampler": self.arm.protocol()}


def open_live(word: str, runs: Path) -> Live:
    """The arm that `word` stands for. Raises WrongUse where nobody knows it."""
    return Live(Path(word).name or word, registry.arm(word), runs)


@functools.cache
def known_prompts() -> Mapping[str, Prompt]:
    """Text and id → prompt, of the embedded world: its judge needs to know what a caption means."""
    from salt_bench.worlds.shapes import ShapesWorld

    prompts = [prompt for split in ("validation", "test") for prompt in ShapesWorld().prompts(split)]
    return {p.text: p for p in prompts} | {p.id: p for p in prompts}


def in_order(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts in an order that has nothing to do with what they ask, and in which any few are the first of more."""
    return sorted(prompts, key=lambda prompt: (Draws(0)("gate", prompt.id).uniform(), prompt.id))


def default_judges(prompts: Sequence[Prompt]) -> tuple[Judge, ...]:
    """Those of the embedded world; without the one that reads captions where it would not know them."""
    from salt_bench.suites.shapes import JUDGES

    shapes = all(prompt.world == "shapes" for prompt in prompts)
    return tuple(judge for judge in JUDGES if shapes or judge.name != "shapes")


class Measuring:
    """A live side on its way: `measure` adds prompts, `stored` is all of them so far."""

    def __init__(self, live: Live, judges: Sequence[Judge], sample_seeds: Sequence[int]) -> None:
        self._live, self._judges, self._seeds = live, judges, sample_seeds
        self._sampler = live.arm.sampler(0, live.runs)
        self._prompts: list[Prompt] = []
        self._scores: list[Score] = []
        self._facts: dict[str, Any] = {}

    def measure(self, prompts: Sequence[Prompt], log: Log) -> None:
        """Samples and judges `prompts` at every sample seed. Raises UserError where clips differ in shape."""
        total = len(prompts) * len(self._seeds)
        clips = ((seed, clip) for seed in self._seeds for clip in self._sampler(prompts, seed))
        for done, (seed, clip) in enumerate(clips, start=1):
            self._scores += self._judged(clip, seed)
            log(self._live.name, done / total)
        self._prompts += prompts

    def _judged(self, clip: Clip, seed: int) -> Iterator[Score]:
        memo = Features(clip)
        facts = clip_facts(memo.pixels, clip.fps)
        if facts != (self._facts or facts):
            raise UserError(f"the clips of {self._live.name} differ: {clip.prompt.text!r} is {facts}, others are {self._facts}")
        self._facts = facts
        base = functools.partial(Score, self._live.name, "", 0, sample_seed=seed)
        for judge in self._judges:
            yield scored(base, clip.prompt, judge, functools.partial(judge, clip, memo))

    def stored(self) -> Stored:
        said = {
            "sample_seeds": list(self._seeds),
            "train_seeds": [0],
            "judges": judge_protocols(self._judges),
            **({"clip": self._facts} if self._facts else {}),
            **self._live.protocol(),
        }
        outputs: Outputs = {judge.name: dict(judge.outputs) for judge in self._judges}
        return Stored(self._live.name, tuple(self._prompts), said, outputs, tuple(self._scores))


def judge_protocols(judges: Sequence[Judge]) -> dict[str, Any]:
    return {judge.name: record.dump(judge.protocol()) for judge in judges}
