"""How much a clip changes when only the number of steps does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from salt_bench import record
from salt_bench.judges.base import Features
from salt_bench.judges.shared.appearance import appearance
from salt_bench.judges.shared.appearance import protocol as appearance_protocol
from salt_bench.probes.base import Probe, steppable
from salt_bench.types import Arm, ArrayClip, Log, Output, Prompt

BATCH = 64


@dataclass(frozen=True)
class CrossStep(Probe):
    """The same prompt and noise under every pair of `grids` (named by their step counts): "latent a-b" is
    ‖x_a - x_b‖₂ / √(‖x_a‖₂·‖x_b‖₂) of the final latents, "feature a-b" the mean over frames of 1 - cosine of the appearance
    network's features; "latent mean" and "feature mean" are means over the pairs (Salt, "Cross-step consistency"; both
    distances are ours). Only the first `most` test prompts are used."""

    grids: tuple[tuple[float, ...], ...]
    most: int = 96
    name: ClassVar[str] = "cross_step"

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple(combinations([len(grid) for grid in self.grids], 2))

    @property
    def outputs(self) -> Mapping[str, Output]:
        names = [f"{a}-{b}" for a, b in self.pairs] + ["mean"]
        latent = {f"latent {n}": Output("share of the norm", -1, title=f"cross-step latent distance, {n}") for n in names}
        feature = {f"feature {n}": Output("1 - cosine", -1, title=f"cross-step feature distance, {n}") for n in names}
        return latent | feature

    def __call__(
        self, arm: Arm, train_seed: int, workdir: Path, prompts: Sequence[Prompt], sample_seed: int, log: Log
    ) -> Iterator[tuple[Prompt, dict[str, float | None]]]:
        chosen = [p for p in prompts if "validation" not in p.tags][: self.most]
        samplers = [steppable(arm.at(grid), train_seed, workdir) for grid in self.grids]
        for first in range(0, len(chosen), BATCH):
            batch = chosen[first : first + BATCH]
            ends = []
            for n, sampler in enumerate(samplers):
                *_, final = sampler.path(batch, sample_seed)
                ends.append((final.x.float().flatten(1).numpy(), _features(sampler.decode(final), batch, sample_seed)))
                log("probe", (first + BATCH * (n + 1) / len(samplers)) / (len(chosen) + BATCH))
            for b, prompt in enumerate(batch):
                yield prompt, self._values([(x[b], f[b]) for x, f in ends])

    def _values(self, ends: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float | None]:
        latent = [_apart(a, b) for (a, _), (b, _) in combinations(ends, 2)]
        feature = [float(np.mean(1 - (a * b).sum(1))) for (_, a), (_, b) in combinations(ends, 2)]
        values: dict[str, float | None] = {}
        for kind, found in (("latent", latent), ("feature", feature)):
            values |= {f"{kind} {a}-{b}": value for (a, b), value in zip(self.pairs, found, strict=True)}
            values[f"{kind} mean"] = float(np.mean(found))
        return values

    def protocol(self) -> dict[str, Any]:
        return {"probe": self.name, "settings": record.dump(self), "features": appearance_protocol()}


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.sqrt(np.linalg.norm(a) * np.linalg.norm(b)))


def _features(pixels: np.ndarray, prompts: Sequence[Prompt], seed: int) -> list[np.ndarray]:
    """(frames, D) of unit length for every clip."""
    found = [appearance(Features(ArrayClip(p, seed, clip))) for p, clip in zip(prompts, pixels, strict=True)]
    return [f / np.linalg.norm(f, axis=1, keepdims=True) for f in found]
