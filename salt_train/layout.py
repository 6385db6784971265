"""How a run is laid out on devices. What it computes does not depend on it, but for rounding: no fingerprint knows it."""

from __future__ import annotations

from dataclasses import dataclass

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Layout:
    """A run with the same recipe and another layout gives the same losses, to the rounding of sums in another order; `compute`
    and `frozen` in bfloat16 round as bfloat16 does.

    - `micro`: videos that one process takes at once (None: its whole share of the batch); the gradients of the parts are
      averaged, so that the batch stays the recipe's.
    - `sequence`: processes that make every video together, each with its part of the tokens and, within attention, of the heads
      (DeepSpeed-Ulysses): memory of activations and caches falls with it. The batch is shared among such teams.
    - `shard`: every process holds a part of each network and of its optimiser (FSDP2, block by block), else all of it.
    - `device`: "cpu" or "cuda".
    - `compute`: the dtype of matrix products; trained weights and their optimisers stay float32. None: bfloat16 on a GPU,
      float32 on a CPU. bfloat16 shards, even on one device: FSDP2 then frees the rounded copies of the weights.
    - `frozen`: the dtype in which networks that do not learn are kept.
    - `checkpointing`: keep the input of every block alone for the backward pass and compute the rest again.
    - `offload`: what is not needed at the moment lies in the CPU's memory: networks that do not learn, but for the block at
      work, and the optimisers' moments until they step. Shards too; on a CPU it changes nothing."""

    micro: int | None = None
    shard: bool = False
    device: str = "cpu"
    compute: str | None = None
    frozen: str = "float32"
    checkpointing: bool = False
    offload: bool = False
    sequence: int = 1

    def __post_init__(self) -> None:
        if self.micro is not None and self.micro < 1:
            raise ValueError(f"a process takes at least one video at once, got {self.micro}")
        if self.sequence < 1:
            raise ValueError(f"at least one process makes a video, got `sequence` {self.sequence}")
        for name, value in (("compute", self.products), ("frozen", self.frozen)):
            if value not in PRECISIONS:
                raise ValueError(f"`{name}` is one of {', '.join(PRECISIONS)}, got {value!r}")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f'a device is "cpu" or "cuda", got {self.device!r}')

    @property
    def products(self) -> str:
        """The dtype of matrix products."""
        return self.compute or ("bfloat16" if self.device == "cuda" else "float32")

    @property
    def sharded(self) -> bool:
        return self.shard or self.products != "float32" or self.offloaded

    @property
    def offloaded(self) -> bool:
        return self.offload and self.device != "cpu"

    def rounded(self, learns: bool) -> bool:
        """Whether a network computes in bfloat16: because products are made in it, or because one that does not learn is kept
        in it."""
        return "bfloat16" in (self.products, "float32" if learns else self.frozen)


PLAIN = Layout()
"""One process on a CPU in float32, as on any machine."""


@dataclass(frozen=True)
class Fleet:
    """A layout by name: as many processes, with a GPU of `memory` bytes each."""

    processes: int
    memory: int
    layout: Layout


def gpus_or_cpu(processes: int) -> Layout:
    """GPUs where every process can have one, else the CPU."""
    import torch

    return Layout(device="cuda") if torch.cuda.device_count() >= processes else PLAIN
