"""Several processes, one run: shares of a batch, means over the processes, and networks that are spread over them.

The parts of torch.distributed that cut tensors and networks take seconds to import, so every function that needs one does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from salt_bench.errors import UserError, WrongUse
from salt_train.backbones.base import Backbone
from salt_train.backbones.ulysses import SINGLE, Ulysses
from salt_train.layout import PLAIN, Layout

if TYPE_CHECKING:
    from salt_train.recipe import Recipe


@dataclass(frozen=True)
class Share:
    """Part number `index` of the `count` equal parts of a batch: what one process takes at once. A video's draws are named by
    its place in the whole batch, so that no number depends on who takes which part."""

    index: int = 0
    count: int = 1

    def of(self, batch: int) -> slice:
        """Where this part lies in a batch of `batch` videos."""
        if batch % self.count:
            raise ValueError(f"a batch of {batch} does not divide among {self.count} processes; change the one or the other")
        return slice(self.index * batch // self.count, (self.index + 1) * batch // self.count)


WHOLE = Share()


@dataclass(frozen=True)
class Crew:
    """The processes of a run: the number of this one, how many there are, and in how many parts each takes its share. Those
    that make every video together (`Layout.sequence`) are a team, neighbours by number, and have the same share."""

    rank: int = 0
    ranks: int = 1
    parts: int = 1
    layout: Layout = PLAIN

    @property
    def alone(self) -> bool:
        """Whether this process holds all there is, as plain tensors."""
        return self.ranks == 1 and not self.layout.sharded

    @property
    def share(self) -> Share:
        """This process's share of every batch."""
        return Share(self.rank // self.layout.sequence, self.ranks // self.layout.sequence)

    def shares(self) -> list[Share]:
        """Its parts, one after the other."""
        whole = self.share
        return [Share(whole.index * self.parts + part, whole.count * self.parts) for part in range(self.parts)]

    def own_heads(self, tensor: Tensor) -> Tensor:
        """Of a tensor that has all heads along its last dimension, those of this process."""
        return tensor.chunk(self.layout.sequence, -1)[self.rank % self.layout.sequence]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean of every value over the processes."""
        if self.ranks == 1 or not values:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.layout.device)
        dist.all_reduce(total)
        return dict(zip(values, (total / self.ranks).tolist(), strict=True))

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Replaces gradients by their mean over the processes."""
        if self.ranks == 1:
            return
        for some in batched(gradients):
            flat = torch.cat([g.flatten() for g in some])
            dist.all_reduce(flat)
            flat /= self.ranks
            for g, part in zip(some, flat.split([g.numel() for g in some]), strict=True):
                g.copy_(part.view_as(g))

    def wait(self) -> None:
        """Until every process is here."""
        if self.ranks > 1:
            dist.barrier()


ALONE = Crew()


def batched(tensors: Sequence[Tensor], numbers: int = 2**22) -> Iterator[list[Tensor]]:
    """The tensors in order, so many at a time that they hold `numbers` or a little more: few messages, and small copies."""
    some: list[Tensor] = []
    for tensor in tensors:
        some.append(tensor)
        if sum(t.numel() for t in some) >= numbers:
            yield some
            some = []
    if some:
        yield some


def crew(batch: int, layout: Layout) -> Crew:
    """This process's place in the job that torchrun started, or alone."""
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    return Crew(rank, ranks, parts(batch, ranks, layout), layout)


def parts(batch: int, ranks: int, layout: Layout) -> int:
    """In how many parts each of `ranks` processes takes its share of `batch` videos.

    Raises WrongUse where the batch does not divide: it is the recipe's, whatever the layout."""
    teams, who = teams_of(ranks, layout), "processes" if layout.sequence == 1 else f"teams of {layout.sequence} processes"
    if batch % teams:
        raise WrongUse(f"a batch of {batch} does not divide among {teams} {who}; change the one or the other")
    micro = layout.micro or batch // teams
    if batch // teams % micro:
        asked = f"a batch of {batch} is no multiple of {teams} {who} × {micro} videos"
        raise WrongUse(f"{asked}; choose a `micro` that divides {batch // teams}")
    return batch // teams // micro


def teams_of(ranks: int, layout: Layout) -> int:
    """How many teams that make a video together `ranks` processes are.

    Raises WrongUse where they do not divide."""
    if ranks % layout.sequence:
        raise WrongUse(f"{ranks} processes do not divide into teams of {layout.sequence}; change their number or --sequence")
    return ranks // layout.sequence


def head_counts(recipe: Recipe) -> list[int]:
    """How many heads the networks of a run have."""
    stages = (recipe, recipe.teacher, recipe.critic_init)
    return [stage.backbone.heads for stage in stages if stage]


def check_heads(recipe: Recipe, layout: Layout) -> None:
    """Raises WrongUse where a network's heads do not divide among those who make a video together."""
    for count in head_counts(recipe):
        if count % layout.sequence:
            raise WrongUse(
                f"--sequence {layout.sequence}: a network of this run has {count} heads; choose a number that divides it"
            )


@lru_cache(maxsize=2)
def mesh(device: str, *shape: int) -> Any:
    """All processes in a row, or as teams × the processes of each."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, shape)


def team(layout: Layout) -> Ulysses:
    """The processes that make every video together with this one."""
    if layout.sequence == 1:
        return SINGLE
    ranks = dist.get_world_size() if dist.is_initialized() else 1
    group = mesh(layout.device, teams_of(ranks, layout), layout.sequence).get_group(1)
    return Ulysses(dist.get_rank(group), layout.sequence, group)


def dtype(name: str) -> torch.dtype:
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def laid_out(net: Backbone, layout: Layout, learns: bool) -> Backbone:
    """The same network where and in the precision in which the layout wants it."""
    net = net if learns else net.to(dtype(layout.frozen))
    net = net if has_no_data(net) else net.to(layout.device)
    net.compute = torch.bfloat16 if layout.rounded(learns) else None
    if layout.checkpointing:
        net.recompute()  # the teacher too: alignment's gradient goes through it
    if layout.sequence > 1:
        net.join(team(layout))
    if layout.sharded:
        _shard(net, layout, learns)
    if has_no_data(net):
        _make_room(net, layout, learns)
    return net


def has_no_data(net: nn.Module) -> bool:
    """Whether parameters are shapes alone ("meta"), for which a place is made where each process wants its part."""
    return any(p.is_meta for p in net.parameters())


def _make_room(net: Backbone, layout: Layout, learns: bool) -> None:
    """Gives parameters without data a place, of any content, and moves the buffers."""
    where = "cpu" if layout.offloaded and not learns else layout.device
    net._apply(lambda t: torch.empty_like(t, device=where) if t.is_meta else t.to(layout.device))  # as nn.Module.to_empty


def _shard(net: Backbone, layout: Layout, learns: bool) -> None:
    """Cuts the parameters among the processes, block by block (FSDP2): a block is gathered when it is needed, in the dtype of
    products, and let go behind. Gradients are averaged in float32."""
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard

    if not dist.is_initialized():
        raise WrongUse("a sharded network needs a job of processes: start it with salt-train run, or with torchrun")
    ranks = mesh(layout.device, dist.get_world_size())
    policy = MixedPrecisionPolicy(net.compute, torch.float32, cast_forward_inputs=False)
    where = CPUOffloadPolicy() if layout.offloaded and not learns else OffloadPolicy()
    *blocks, root = net.pieces()
    for block in blocks:
        fully_shard(block, mesh=ranks, mp_policy=policy, offload_policy=where, reshard_after_forward=True)
    # What stays gathered would be stale after a step; but what never learns may be needed by the gradient of a block's output.
    fully_shard(root, mesh=ranks, mp_policy=policy, offload_policy=where, reshard_after_forward=learns)


def here(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this process holds of them."""
    return [t.to_local() if is_spread(t) else t for t in tensors]  # type: ignore[attr-defined]


def part(tensor: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """What this process holds of a tensor, and where in the whole it begins."""
    if not is_spread(tensor):
        return tensor, (0,) * tensor.ndim
    (mine,) = tensor.__create_chunk_list__()  # type: ignore[attr-defined]
    return tensor.to_local(), tuple(mine.offsets)  # type: ignore[attr-defined]


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, which every process asks for at once."""
    return tensor.full_tensor() if is_spread(tensor) else tensor  # type: ignore[attr-defined]


def is_spread(tensor: Tensor) -> bool:
    """Whether the processes hold a part of it each (a DTensor)."""
    return hasattr(tensor, "full_tensor")


def spread(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of `tensor`, cut as `like` is."""
    if not is_spread(like):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)  # type: ignore[attr-defined]


def stacked(tensor: Tensor, crew: Crew, heads: bool = False) -> Tensor:
    """The teams' tensors as one, one after the other along the first dimension; the processes of a team have the same, or with
    `heads` its parts along the last."""
    if crew.ranks == 1:
        return tensor
    from torch.distributed.tensor import DTensor, Replicate, Shard

    of_team = Shard(tensor.ndim - 1) if heads else Replicate()
    teams = mesh(crew.layout.device, crew.share.count, crew.layout.sequence)
    return DTensor.from_local(tensor, teams, [Shard(0), of_team], run_check=False)


def start(layout: Layout) -> bool:
    """Joins the job that torchrun started, or makes one of this process where sharding needs one; whether there is one."""
    if layout.device == "cuda":
        _take_gpu(layout)
    if "RANK" not in os.environ and not layout.sharded:
        return False
    backend = "cpu:gloo,cuda:nccl" if layout.device == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return True


def _take_gpu(layout: Layout) -> None:
    if not torch.cuda.is_available():
        raise UserError("no GPU that this build of torch can use; train with --device cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if layout.products == "float32":
        torch.backends.cudnn.allow_tf32 = False  # by default convolutions, unlike matrix products, keep 10 bits of float32's 23


def clip(parameters: Sequence[nn.Parameter], largest: float) -> float:
    """Scales the gradients down to the norm `largest`, if theirs is larger; their norm before."""
    return float(whole(nn.utils.clip_grad_norm_(parameters, largest)))
