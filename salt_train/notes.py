"""What terms note about an update beside their losses: a number of each video, gathered by noise level."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, MutableMapping
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from salt_train.parallel import Crew

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
BINS = tuple(f"{low:g}-{high:g}" for low, high in pairwise(EDGES))  # each holds its lower edge
FAR = 3  # standard deviations of its channel beyond which a latent counts as saturated; of a normal channel 0.27 % are


class Note(NamedTuple):
    """A number of each video (B,) and, where it depends on it, the noise level (B,) at which it was found."""

    values: Tensor
    sigma: Tensor | None = None

    def placed(self) -> Iterator[tuple[str, float]]:
        """(bin, number) of each video; the bin of a number without a noise level is empty."""
        values: list[float] = self.values.tolist()
        if self.sigma is None:
            yield from (("", value) for value in values)
        else:
            yield from (
                (BINS[bisect_right(EDGES, sigma, 1, len(BINS)) - 1], v)
                for sigma, v in zip(self.sigma.tolist(), values, strict=True)
            )


class Notes:
    """The notes of one update, gathered from the parts of its batch."""

    def __init__(self, ours: Crew) -> None:
        self.ours = ours
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def take(self, whose: str, said: MutableMapping[str, Note]) -> None:
        """Takes what the term called `whose` said, and leaves nothing of it behind."""
        for name, note in said.items():
            for place in BINS if note.sigma is not None else ("",):
                self.counts.setdefault(_key(whose, name, place), 0)  # every process knows the same names
            for place, value in note.placed():
                key = _key(whose, name, place)
                self.sums[key] = self.sums.get(key, 0.0) + value
                self.counts[key] += 1
        said.clear()

    def means(self) -> dict[str, float]:
        """The means over the videos of all processes, as `term/what` or `term/what/bin`; a bin without a video has none."""
        counts = self.ours.mean(self.counts)
        sums = self.ours.mean({key: self.sums.get(key, 0.0) for key in self.counts})
        return {key: sums[key] / count for key, count in counts.items() if count}


def _key(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def each(x: Tensor) -> Tensor:
    """The mean of each video: (B, …) → (B,)."""
    return x.flatten(1).mean(1)


def look(latents: Tensor, std: Tensor) -> dict[str, Note]:
    """How latents (B, C, F, H, W) look beside `std` (1, C, 1, 1, 1), the standard deviation of each channel of true ones.

    `saturation` is the share beyond ±3 std, `spread` the root mean square in std (true videos: about 1), `motion` the mean
    absolute difference of neighbouring frames in std. They are those of the rollout's exits, so an early one looks tamer than
    the finished video: means over many updates can be compared, single ones cannot."""
    unit = latents.detach() / std
    said = {"saturation": each((unit.abs() > FAR).float()), "spread": each(unit.square()).sqrt()}
    if latents.shape[2] > 1:
        said["motion"] = each(unit.diff(dim=2).abs())
    return {name: Note(values) for name, values in said.items()}
