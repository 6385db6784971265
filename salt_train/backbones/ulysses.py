"""One video on several processes (DeepSpeed-Ulysses, arXiv 2309.14509): between attentions a process has some of the tokens,
within attention all tokens of some of the heads, and one exchange leads from the one to the other and back.

What lies outside the blocks every process computes whole, from the same numbers. On the way back every process has the whole
gradient there, and what enters the blocks is its own part times the number of processes: so the mean over the processes is the
gradient of every weight. Of the latents, which lead on to other passes, that mean is made at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ulysses:
    """Process `rank` of the `ranks` that share every video. Without a `group` nothing is sent and only shapes are right, which
    is enough to see how much memory an update needs."""

    rank: int = 0
    ranks: int = 1
    group: Any = None

    def cut(self, tokens: int) -> Cut:
        return Cut(self, tokens)

    def exchanged(self, parts: Sequence[Tensor], sizes: Sequence[int]) -> tuple[Tensor, ...]:
        """Sends part number i to process i; what came from each, flat, in `sizes` numbers."""
        flat = torch.cat([part.flatten() for part in parts])
        if self.group is None:
            return torch.nn.functional.pad(flat, (0, sum(sizes) - len(flat))).split(list(sizes))
        from torch.distributed._functional_collectives import all_to_all_single_autograd, wait_tensor

        came = all_to_all_single_autograd(flat, list(sizes), [part.numel() for part in parts], self.group)
        return wait_tensor(came).split(list(sizes))

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over the processes."""
        found = tensor.clone(memory_format=torch.contiguous_format)
        if self.group is not None:
            torch.distributed.all_reduce(found, group=self.group)
            found /= self.ranks
        return found


SINGLE = Ulysses()


@dataclass(frozen=True, eq=False)
class Cut:
    """How the `tokens` of one pass through a network lie on the processes, neighbours together, the first ones with one more
    where they do not divide."""

    among: Ulysses
    tokens: int
    sizes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        least, more = divmod(self.tokens, self.among.ranks)
        object.__setattr__(self, "sizes", tuple(least + (i < more) for i in range(self.among.ranks)))

    @property
    def alone(self) -> bool:
        return self.among.ranks == 1

    @property
    def parts(self) -> list[slice]:
        """Which tokens each process has."""
        ends = list(accumulate(self.sizes))
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    @property
    def mine(self) -> slice:
        return self.parts[self.among.rank]

    def split(self, x: Tensor, dim: int = 1) -> Tensor:
        """This process's tokens of those that every process has, along `dim`; the gradient of x is whole in every process."""
        if self.alone:
            return x
        same = _Same.apply(x, self.among) if x.requires_grad else x
        return same.narrow(dim, self.mine.start, self.sizes[self.among.rank])

    def gathered(self, x: Tensor) -> Tensor:
        """All tokens (B, tokens, …) of those that each process has (B, n, …)."""
        if self.alone:
            return x
        each = x.numel() // x.shape[1]
        came = self.among.exchanged([x] * self.among.ranks, [n * each for n in self.sizes])
        return torch.cat([t.view(len(x), n, *x.shape[2:]) for t, n in zip(came, self.sizes, strict=True)], 1)

    def heads(self, *tensors: Tensor) -> Sequence[Tensor]:
        """All tokens of this process's heads (B, tokens, D/ranks) of its tokens of all heads (B, n, D), each of `tensors`."""
        if self.alone:
            return tensors
        many, batch, width = len(tensors), len(tensors[0]), tensors[0].shape[2] // self.among.ranks
        parts = [torch.stack([t[..., i * width : (i + 1) * width] for t in tensors]) for i in range(self.among.ranks)]
        came = self.among.exchanged(parts, [many * batch * n * width for n in self.sizes])
        return torch.cat([t.view(many, batch, n, width) for t, n in zip(came, self.sizes, strict=True)], 2).unbind()

    def back(self, x: Tensor) -> Tensor:
        """The inverse of `heads`: this process's tokens of all heads."""
        if self.alone:
            return x
        batch, width, own = len(x), x.shape[2], self.sizes[self.among.rank]
        came = self.among.exchanged([x[:, part] for part in self.parts], [batch * own * width] * self.among.ranks)
        return torch.cat([t.view(batch, own, width) for t in came], 2)


class _Same(torch.autograd.Function):
    """Forward nothing; backward the mean over the processes, each of which has its part times their number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, among: Ulysses) -> Tensor:
        ctx.among = among
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.among.mean(gradients[0]), None
