"""What is queued on a device and when it is done: nothing to wait for on a CPU, events and a second stream on a GPU."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Mark:
    """A moment in a queue of work; without an event, of work that is done as soon as it is asked for."""

    def __init__(self, event: Any = None) -> None:
        self.event = event

    def done(self) -> bool:
        return self.event is None or bool(self.event.query())

    def wait(self) -> None:
        if self.event is not None:
            self.event.synchronize()


class Queue:
    """The work of one device. What happens `beside` the rest may overlap with it where the device can."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cuda: Any = torch.cuda if device.type == "cuda" else None
        self.side: Any = self.cuda.Stream(device) if self.cuda else None

    def mark(self) -> Mark:
        if self.cuda is None:
            return Mark()
        event = self.cuda.Event()
        event.record()
        return Mark(event)

    def wait(self) -> None:
        if self.cuda is not None:
            self.cuda.synchronize(self.device)

    @contextmanager
    def beside(self, needs: Tensor) -> Iterator[None]:
        """Inside, work is queued behind what made `needs` and beside what is queued later."""
        if self.cuda is None:
            yield
            return
        self.side.wait_stream(self.cuda.current_stream(self.device))
        needs.record_stream(self.side)
        with self.cuda.stream(self.side):
            yield

    def fetched(self, tensor: Tensor) -> Tensor:
        """The tensor in the computer's memory, once what is queued is done."""
        if self.cuda is None:
            return tensor
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return host.copy_(tensor, non_blocking=True)

    def peak(self) -> int:
        """Bytes: the most that tensors held on a GPU since the last call; on a CPU the most that the process ever held."""
        if self.cuda is None:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        most = int(self.cuda.max_memory_allocated(self.device))
        self.cuda.reset_peak_memory_stats(self.device)
        return most
