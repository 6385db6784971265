"""The bytes of tensors that are alive: how much memory a piece of code needs, counted operation by operation.

Every tensor that an operation makes is seen, and its storage leaves the count when it dies, so that what autograd saves for the
backward pass counts as long as it is kept. Tensors without data (FakeTensorMode) count as if they had some. What a kernel takes
for itself while it runs is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

KEPT, GRADIENT, WORK = "kept", "gradient", "work"


class Ledger(TorchDispatchMode):
    """Counts while it is entered. Storages are of a kind: WORK unless `book` says otherwise. `peaks` has, for each share of
    `shares`, the largest sum of WORK and that share of GRADIENT, which is what several processes keep of it."""

    def __init__(self, shares: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.shares = shares
        self.live = dict.fromkeys((KEPT, GRADIENT, WORK), 0)
        self.kinds: dict[int, str] = {}
        self.start()

    def start(self) -> None:
        """From now on peaks are new."""
        self.peaks = [0.0] * len(self.shares)
        self._look()

    @property
    def total(self) -> int:
        return sum(self.live.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.book(WORK, (value for value in tree_iter(out) if isinstance(value, Tensor)), again=False)
        self._look()
        return out

    def book(self, kind: str, tensors: Iterable[Tensor], again: bool = True) -> None:
        """Counts tensors as `kind`; those that were seen before only if `again`."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self.kinds:
                weakref.finalize(storage, self._gone, key, size)
            elif again:
                self.live[self.kinds[key]] -= size
            else:
                continue
            self.kinds[key] = kind
            self.live[kind] += size

    def _gone(self, key: int, size: int) -> None:
        self.live[self.kinds.pop(key)] -= size

    def _look(self) -> None:
        for i, share in enumerate(self.shares):
            self.peaks[i] = max(self.peaks[i], self.live[WORK] + share * self.live[GRADIENT])


def booked(ledger: Ledger, parameters: Iterable[torch.nn.Parameter]) -> None:
    """From now on the gradients of `parameters` count as such when they arrive."""
    for p in parameters:
        if p.requires_grad:
            p.register_post_accumulate_grad_hook(lambda p: ledger.book(GRADIENT, [p.grad] if p.grad is not None else []))
