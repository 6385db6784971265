"""A study that takes a second: numpy "training" that can be killed at any step, judges with known answers."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from salt_bench import files, record
from salt_bench.judges.base import Features, Judge
from salt_bench.probes.base import Probe
from salt_bench.rng import Draws
from salt_bench.setjudges.base import SetJudge
from salt_bench.types import Arm, ArrayClip, Clip, Log, Output, Prompt, State

PROMPTS = tuple(
    Prompt(f"p{i:02d}", f"prompt {i}", "toy", {"level": str(i)}, frozenset({"validation"} if i < 3 else ())) for i in range(9)
)


def level(prompt: Prompt) -> int:
    """The brightness that a prompt asks for."""
    return 20 * int(prompt.factors["level"])


@dataclass(frozen=True)
class ToyWorld:
    name = "toy"
    fps = 4.0

    def render(self, prompts: Sequence[Prompt], seed: int, frames: int | None = None) -> np.ndarray:
        shifts = [Draws(seed)("truth", p.id).choice(3) for p in prompts]
        return np.stack([np.full((3, 8, 8, 3), level(p) + s, np.uint8) for p, s in zip(prompts, shifts, strict=True)])


@dataclass(frozen=True)
class ToyArm:
    """Learns to add `offset` to the level, in `steps` steps with a checkpoint at each fifth. `harm` goes wrong on purpose,
    until there is a file `mended` in the models folder."""

    offset: int
    steps: int = 10
    pause: float = 0.0
    harm: str = ""
    grid: tuple[float, ...] = (1.0, 0.5)

    def folder(self, seed: int, workdir: Path) -> Path:
        return workdir / "checkpoints" / record.fingerprint(self.identity(seed))

    def identity(self, seed: int) -> Mapping[str, Any]:
        return {"toy": record.dump(replace(self, grid=(), pause=0.0)), "seed": seed}

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        folder = self.folder(seed, workdir)
        if (folder / "weights").is_file():
            return False
        self.misbehave(workdir)
        state = folder / "state"
        done, weight = np.frombuffer(state.read_bytes()).tolist() if state.is_file() else (0.0, 0.0)
        for step in range(int(done), self.steps):
            time.sleep(self.pause)
            weight += (self.offset - weight) * 0.5 + 0.01 * float(Draws(seed)("step", step).normal((1,))[0])
            log("train", (step + 1) / self.steps)
            if step % 5 == 4:
                files.write_bytes(state, np.array([step + 1.0, weight]).tobytes())
        files.write_bytes(folder / "weights", np.array([weight]).tobytes())
        return True

    def misbehave(self, workdir: Path) -> None:
        if (workdir / "mended").exists():
            return
        if self.harm == "raise":
            raise RuntimeError("the toy broke\non two lines")
        if self.harm == "die" or (self.harm == "die once" and self.first_time(workdir)):
            os.kill(os.getpid(), signal.SIGKILL)

    def first_time(self, workdir: Path) -> bool:
        known = (workdir / "died").exists()
        files.write_text(workdir / "died", "")
        return not known

    def evidence(self, seed: int, workdir: Path) -> str:
        path = self.folder(seed, workdir) / "weights"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def at(self, grid: tuple[float, ...]) -> ToyArm:
        return replace(self, grid=grid)

    def protocol(self) -> Mapping[str, Any]:
        return {"grid": list(self.grid)}

    def small(self) -> ToyArm:
        return replace(self, steps=min(self.steps, 5))

    def sampler(self, seed: int, workdir: Path) -> ToySampler:
        weight = float(np.frombuffer((self.folder(seed, workdir) / "weights").read_bytes())[0])
        return ToySampler(weight, self.grid, self.pause)


@dataclass(frozen=True)
class ToySampler:
    weight: float
    grid: tuple[float, ...]
    pause: float

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        for prompt in prompts:
            time.sleep(self.pause)
            noise = Draws(seed)("noise", prompt.id).normal((3, 8, 8, 3)) / len(self.grid)
            pixels = np.clip(level(prompt) + self.weight + noise, 0, 255)
            yield ArrayClip(prompt, seed, pixels.astype(np.uint8), 4.0, len(self.grid))

    def path(self, prompts: Sequence[Prompt], seed: int) -> Iterator[State]:
        return iter(())

    def move(self, state: State, start: float, end: float) -> State:
        return state

    def decode(self, state: State) -> np.ndarray:
        return np.zeros((0, 3, 8, 8, 3), np.uint8)


class Brightness(Judge):
    """How far the mean level is from what the prompt asks for; "count" runs once per clip, whoever asks."""

    name = "brightness"
    outputs: ClassVar[Mapping[str, Output]] = {"error": Output("levels", -1, 1.0), "mean": Output("levels", 0)}

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        mean = float(features.get("mean", lambda: features.pixels.mean(dtype=np.float64)))
        return {"error": mean - level(clip.prompt), "mean": mean}


@dataclass(frozen=True)
class SharedToy(ToyArm):
    """A toy that several processes can train: how many it was is the last digits of its weight."""

    def prepare_together(self, processes: int, seed: int, workdir: Path, log: Log) -> bool:
        if not self.prepare(seed, workdir, log):
            return False
        weights = self.folder(seed, workdir) / "weights"
        files.write_bytes(weights, (np.frombuffer(weights.read_bytes()) + 1e-9 * processes).tobytes())
        return True


@dataclass(frozen=True)
class Sick(Judge):
    """Gives what it is told to give for one prompt."""

    prompt: str
    value: float | None
    refuses: bool = False

    name = "sick"
    outputs: ClassVar[Mapping[str, Output]] = {"x": Output("", 1)}

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        if clip.prompt.id != self.prompt:
            return {"x": 1.0}
        if self.refuses:
            raise ValueError("too short to tell")
        return {"x": self.value}


class Distance(SetJudge):
    """Between the means of two sets."""

    name = "frechet"
    outputs: ClassVar[Mapping[str, Output]] = {"distance": Output("levels", -1, 1.0)}

    def feature(self, clip: Clip, features: Features) -> np.ndarray:
        return np.array([features.pixels.mean(dtype=np.float64)])

    def compare(self, sample: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
        return {"distance": float(abs(sample.mean() - reference.mean()))}


class Steps(Probe):
    """How many points the arm's grid has, on the first two prompts."""

    name = "steps"

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {"count": Output("NFE", -1)}

    def __call__(
        self, arm: Arm, train_seed: int, workdir: Any, prompts: Sequence[Prompt], sample_seed: int, log: Log
    ) -> Iterator[tuple[Prompt, dict[str, float | None]]]:
        sampler: Any = arm.sampler(train_seed, workdir)
        for prompt in prompts[:2]:
            log("whatever", 0.5)
            yield prompt, {"count": float(len(sampler.grid))}


HEAD = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from toy import *
from salt_bench.samplers.truth import Truth
from salt_bench.types import Expectation, Study
base = dict(name="toy", question="Does it add?", baseline="plain", anchors={{"truth": Truth(ToyWorld())}}, prompts=PROMPTS,
            settings={{"2 steps": (1.0, 0.5), "1 step": (1.0,)}}, train_seeds=(0, 1),
            judges=(Brightness(),), setjudges=(Distance(),), probes=(Steps(),))
"""
ARMS = '{"plain": ToyArm(3), "plus 7": ToyArm(7)}'


def write_study(folder: Path, arms: str = ARMS, more: str = "", after: str = "") -> Path:
    """A study file in `folder`: `arms` and `more` are Python source of its arms and of further fields."""
    path = folder / "toy_study.py"
    path.write_text(f"{HEAD}\nSTUDY = Study(**(base | dict(arms={arms}, {more})))\n{after}\n")
    return path


def command(*arguments: str | Path) -> list[str]:
    """The command line of salt-bench in a fresh process."""
    return [sys.executable, "-c", "from salt_bench.cli import main; main()", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Finds this copy of the packages from whatever folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "COLUMNS": "200"}
