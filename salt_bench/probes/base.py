"""What a probe is: a steppable sampler in, named numbers per prompt out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from salt_bench.types import Arm, Log, Output, Prompt, Steppable


class Probe(ABC):
    """Measures how a model moves, not what it draws: it takes the arm, since it may need the model under several grids."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def outputs(self) -> Mapping[str, Output]: ...

    @abstractmethod
    def __call__(
        self, arm: Arm, train_seed: int, workdir: Path, prompts: Sequence[Prompt], sample_seed: int, log: Log
    ) -> Iterator[tuple[Prompt, dict[str, float | None]]]:
        """One mapping of part → value for every prompt that the probe uses (it may use fewer than it is given)."""

    def protocol(self) -> dict[str, Any]:
        return {"probe": self.name}


def steppable(arm: Arm, train_seed: int, workdir: Path) -> Steppable:
    """The arm's sampler, which a probe must be able to stop and branch."""
    sampler = arm.sampler(train_seed, workdir)
    if not isinstance(sampler, Steppable):
        raise TypeError(f"a probe needs a sampler with grid, path, move and decode, got {type(sampler).__name__}")
    return sampler
