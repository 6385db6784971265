"""The nouns of the project. Everything else is a function between them.

Frames are uint8 (T, H, W, C) at this border, and float (T, C, H, W) in [0, 1] inside a judge; times are seconds; NFE counts
network evaluations. This module needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from salt_bench import record

if TYPE_CHECKING:
    import torch

Log = Callable[[str, float], None]
"""How long work reports itself: a stage ("train", "sample", "judge", …) and the part of it that is done, 0 to 1."""


@dataclass(frozen=True)
class Prompt:
    """One thing to ask a model for. `id` is for ever, and is never the file name of a video."""

    id: str
    text: str
    world: str
    factors: Mapping[str, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()


class Clip(Protocol):
    """A video, read lazily: ten minutes of 720p must not be one array."""

    @property
    def prompt(self) -> Prompt: ...
    @property
    def seed(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def nfe(self) -> int: ...
    @property
    def chunk(self) -> int:
        """Frames of video per autoregressive chunk, the first chunk's included; 0 where the video was made at once."""

    def blocks(self) -> Iterator[np.ndarray]:
        """uint8 (t, H, W, C), in order; together they are the whole video."""

    def frames(self, index: Sequence[int] | None = None) -> np.ndarray:
        """uint8 (len(index), H, W, C); all frames where `index` is None."""


@dataclass(frozen=True, eq=False)
class ArrayClip:
    """A clip that lives in memory: `pixels` is uint8 (T, H, W, C), made in chunks of `chunk` frames (0: at once)."""

    prompt: Prompt
    seed: int
    pixels: np.ndarray
    fps: float = 8.0
    nfe: int = 0
    chunk: int = 0

    def __post_init__(self) -> None:
        if self.chunk < 0:
            raise ValueError(f"a chunk is a number of frames, 0 for a clip made at once, got {self.chunk}")
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise ValueError(f"a clip is uint8 (T, H, W, C), got {self.pixels.dtype} {self.pixels.shape}")

    def blocks(self) -> Iterator[np.ndarray]:
        yield self.pixels

    def frames(self, index: Sequence[int] | None = None) -> np.ndarray:
        return self.pixels if index is None else self.pixels[np.asarray(index, dtype=int)]


class Sampler(Protocol):
    """Prompts to clips, in the order of the prompts; the same clip whatever the batch and the order."""

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]: ...


@dataclass(frozen=True, eq=False)
class State:
    """Where a batch of videos stands on its way from noise to clip: `x` (B, C, F, H, W) at noise level `sigma` in [0, 1].

    `chunk` counts the finished chunks of an autoregressive model; `context` is whatever its network needs besides x
    (prompt embedding, frozen cache) and is opaque to the bench.
    """

    x: torch.Tensor
    sigma: float
    chunk: int = 0
    context: Any = None


@runtime_checkable
class Steppable(Protocol):
    """A sampler that a probe can stop, branch and decode. All methods work on a batch of prompts."""

    grid: tuple[float, ...]
    """The noise levels σ at which the network is evaluated, falling from 1; the final 0 is not listed."""

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]: ...
    def path(self, prompts: Sequence[Prompt], seed: int) -> Iterator[State]:
        """The states at every point of `grid`, then the final one at σ = 0 (for each chunk)."""

    def move(self, state: State, start: float, end: float) -> State:
        """Ψ^{start→end}: one deterministic Euler step on the model's own velocity. Pure."""

    def decode(self, state: State) -> np.ndarray:
        """uint8 (B, T, H, W, C)."""


@dataclass(frozen=True)
class Running:
    """How a model is run where its speed counts. `network`: "swift" is the fastest way to the same numbers, "plain" the network
    as it is trained, "recompute" the plain one without a cache, which looks at the whole history at every step, "stock"
    diffusers' own pipeline, all frames at once, at as many evaluations. `compiled`: what can be, by torch.compile. `graphs`:
    swift's evaluations are recorded as CUDA graphs and repeated."""

    device: str = "cpu"
    dtype: str = "float32"
    network: str = "swift"
    compiled: bool = False
    graphs: bool = record.added(False)

    @property
    def name(self) -> str:
        """What distinguishes it from the other ways in which a model is run."""
        return self.network + ("+graphs" if self.graphs else "")


SCOPES = ("denoise", "denoise+decode", "end_to_end")
"""From noise to the last latent; with decoding to frames; from the caption's text to frames in the computer's memory."""


@runtime_checkable
class Live(Protocol):
    """A sampler that one can wait for while it makes one video."""

    fps: float
    """Frames of video a second when it is played."""

    @property
    def steady(self) -> int:
        """The first piece of a video from which on every piece costs the same, since the memory is full; -1: none."""

    def prompt(self, text: str) -> Prompt:
        """What a text asks for; "" is for any text that the model can read. Raises WrongUse where it cannot read texts."""

    def start(self, prompt: Prompt, seed: int, scope: str) -> Iterator[int]:
        """Makes what lies before `scope` and returns its stopwatch: an iterator that makes one video and says, each time after
        a piece of it is finished and not just queued, how many frames that piece has."""

    def work(self) -> float:
        """Floating-point operations of the matrix products and attentions of one video's denoising."""

    def peak(self) -> int:
        """Bytes that it held at most since the last call, weights included."""

    def notes(self) -> Mapping[str, Any]:
        """What the numbers depend on: sizes, steps, cache, versions."""


class Arm(Protocol):
    """Anything that makes a sampler for a training seed: a recipe, a checkpoint, a pipeline, a folder of videos, the truth."""

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        """Does what must happen once before sampling (training); True if it did work, False if everything was there.

        Killed at any moment and called again, it ends in the same bytes."""

    def sampler(self, seed: int, workdir: Path) -> Sampler: ...
    def at(self, grid: tuple[float, ...]) -> Arm:
        """The same model under another grid of noise levels; the checkpoint is shared."""

    def identity(self, seed: int) -> Mapping[str, Any]:
        """JSON that says what `prepare` makes for this seed: equal identities share a checkpoint. The grid is no part of it."""

    def small(self) -> Arm:
        """The same arm with as little training as still runs every line of it: for smoke tests."""

    def protocol(self) -> Mapping[str, Any]:
        """JSON that says how the sampler runs what `prepare` made (grid, update, guidance): two clips are the same only under
        equal identity, protocol, prompt and sample seed."""

    def evidence(self, seed: int, workdir: Path) -> str:
        """A digest of what the sampler is made from (checkpoint bytes), or "" where it is not there. A measurement is reused
        only while the evidence that it was made on is still in the work folder."""


@runtime_checkable
class LiveArm(Protocol):
    """An arm whose speed can be measured."""

    def live(self, seed: int, workdir: Path, running: Running) -> Live:
        """The model of this training seed, ready on its device."""


@runtime_checkable
class Shared(Protocol):
    """What an arm has besides whose training several processes can share."""

    def prepare_together(self, processes: int, seed: int, workdir: Path, log: Log) -> bool:
        """As `prepare`, in so many processes of this machine; the same as one process makes, within rounding."""


@dataclass(frozen=True)
class Output:
    """One number that a judge gives. `better`: +1 more is better, -1 less is better, 0 neither. `margin`: the smallest loss
    that matters, in `unit`; relative (a share of the baseline's value) where `relative` is set."""

    unit: str
    better: int
    margin: float | None = None
    relative: bool = False
    title: str = ""


@dataclass(frozen=True)
class Score:
    """One judged thing: what `judge` said of one clip, or (prompt None) of a whole set. `values` maps a part to a number,
    or to None where it could not be judged; then `note` says why. `weight` counts in frame-weighted means."""

    arm: str
    setting: str
    train_seed: int
    prompt: str | None
    sample_seed: int
    judge: str
    values: Mapping[str, float | None]
    weight: float = 1.0
    note: str = ""

    def key(self) -> tuple[str, str, int, str, int, str]:
        return (self.arm, self.setting, self.train_seed, self.prompt or "", self.sample_seed, self.judge)


@dataclass(frozen=True)
class Claim:
    """What a study sets out to show of one of its arms, decided by a rule and never by hand.

    Among `candidates` the rule picks, on prompts tagged "validation" alone, the one with the smallest `lower[0]` whose
    `no_worse` point estimates stay within half of their margins of the baseline's. The claim holds where, on the other
    prompts, every (judge, part) of `lower` is below the baseline with an interval that excludes 0 and every
    (judge, part) of `no_worse` is non-inferior by its judge's margin.
    """

    candidates: tuple[str, ...]
    baseline: str
    setting: str
    lower: tuple[tuple[str, str], ...]
    no_worse: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Expectation:
    """What others say of one comparison, to be held against what is measured here: at `setting`, `arm` has more (`sign` +1) or
    less (-1) of (judge, part) than `baseline`. `says` is their statement with its source."""

    arm: str
    baseline: str
    setting: str
    judge: str
    part: str
    sign: int
    says: str


@dataclass(frozen=True)
class Study:
    """A question as data. `anchors` (the world's truth, the teacher) give the scale and are measured once, at training seed 0
    and their own grid; `arms` are measured at every training seed and every setting (a name → the grid of noise levels)."""

    name: str
    question: str
    arms: Mapping[str, Arm]
    anchors: Mapping[str, Arm]
    baseline: str
    prompts: Sequence[Prompt]
    settings: Mapping[str, tuple[float, ...]]
    judges: Sequence[Any] = ()
    setjudges: Sequence[Any] = ()
    probes: Sequence[Any] = ()
    train_seeds: Sequence[int] = (0, 1, 2)
    sample_seeds: Sequence[int] = (0,)
    published: Sequence[str] = ()
    """Tables of published_scores.csv that stand beside the measured numbers: "A1", "A3" …"""
    claim: Claim | None = None
    expectations: Sequence[Expectation] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Effect:
    """Arm minus baseline in the judge's unit, with a 95% interval [low, high], its two-sided p, and what it rests on."""

    arm: str
    baseline: str
    setting: str
    judge: str
    part: str
    mean: float
    low: float
    high: float
    p: float
    standard_error: float
    degrees: float
    train_seeds: int
    prompts: int
    detectable: float
    """The smallest true difference that this design would find with 80% power at two-sided 5%."""
