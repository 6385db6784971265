"""Everything is remembered (Self Forcing, Causal Forcing)."""

from __future__ import annotations

from dataclasses import dataclass

from salt_bench import record
from salt_train.caches.base import CachePolicy


@dataclass(frozen=True)
class Full(CachePolicy):
    """Attends to the whole past. `capacity` is how many frames there is memory for, the chunk being made included (None: as
    many as come); beyond it the video cannot go on."""

    capacity: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        record.at_least(self, capacity=1)

    def kept(self, seen: int, new: int) -> tuple[int, ...]:
        if self.capacity is not None and seen + new > self.capacity:
            raise ValueError(
                f"a full cache of {self.capacity} latent frames cannot hold {seen + new}: make a shorter video, raise "
                f"`capacity`, or use a Window({self.capacity}) that forgets"
            )
        return tuple(range(seen))

    def stored(self, seen: int) -> tuple[int, ...]:
        return tuple(range(seen))
