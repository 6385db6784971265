"""How a network learns: its optimiser with schedule and clipping, and the running average of its weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from salt_bench.errors import WrongUse
from salt_train.layout import PLAIN, Layout
from salt_train.parallel import ALONE, Crew, clip, here, is_spread
from salt_train.recipe import Optimiser


class Stepper:
    """A network's optimiser with its schedule and clipping."""

    def __init__(self, net: nn.Module, spec: Optimiser, total: int, layout: Layout = PLAIN) -> None:
        self.net, self.spec, self.total, self.count = net, spec, total, 0
        self.offloaded = layout.offloaded
        named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
        matrices = [p for name, p in named if spec.muon and "blocks" in name and p.ndim == 2]
        if matrices and layout.sharded:
            raise WrongUse("Muon needs whole matrices: train this recipe without sharding, or with an `Optimiser` without muon")
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, spec.rate, betas=spec.betas, weight_decay=spec.weight_decay, fused=True)
        ]
        if matrices:
            muon = torch.optim.Muon(matrices, spec.rate, weight_decay=spec.weight_decay, adjust_lr_fn="match_rms_adamw")
            self.parts.append(muon)

    @property
    def learning(self) -> list[nn.Parameter]:
        """What the steps change."""
        return [p for p in self.net.parameters() if p.requires_grad]

    def learn(self, loss: Tensor) -> None:
        """Adds the gradient of `loss` to what the next step follows."""
        parameters = self.learning
        if is_spread(parameters[0]):
            loss.backward()  # FSDP2 averages over the processes on the way
            return
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True):
            if g is not None:
                p.grad = g if p.grad is None else p.grad + g  # not in place: two parameters may have one and the same gradient

    def step(self, ours: Crew = ALONE) -> float:
        """Averages over the processes, clips, steps; returns the gradient's norm before clipping."""
        parameters = self.learning
        if not is_spread(parameters[0]):
            ours.average([p.grad for p in parameters if p.grad is not None])
        size = clip(parameters, self.spec.clip)
        self._move(parameters[0].device)
        self._take(self.spec.rate * pace(self.count, self.total, self.spec))
        self._move(torch.device("cpu"))
        self.count += 1
        return size

    def _take(self, rate: float) -> None:
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad()

    def _move(self, device: torch.device) -> None:
        """Moves the moments, where they are not to lie beside the network."""
        for state in (s for part in self.parts for s in part.state.values() if self.offloaded):
            state |= {name: value.to(device) for name, value in state.items()}

    def begin(self) -> None:
        """Gives every parameter the state that it has after a step, all zero: the place for a saved one."""
        for p in self.learning:
            p.grad = torch.zeros_like(p)
        self._take(0.0)
        for state in (s for part in self.parts for s in part.state.values()):
            torch._foreach_zero_(here(state.values()))

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def pace(count: int, total: int, spec: Optimiser) -> float:
    """The share of the full rate at update `count` of `total`: linear warm-up, flat, cosine to zero."""
    rise = min(1.0, (count + 1) / (spec.warmup + 1))
    left = (total - count) / total
    return rise * (0.5 - 0.5 * math.cos(math.pi * left / spec.decay) if left < spec.decay else 1.0)


def average(ema: nn.Module, student: nn.Module, decay: float, i: int, start: int = 0) -> None:
    """Exponential moving average of what learns, from the first update on; the decay starts low, to forget the start. With
    `start`, it begins at that update, from the weights of then and at the full decay."""
    share = 1 - min(decay, (1 + i) / (10 + i)) if not start else float(i <= start) or 1 - decay
    pairs = [(e, s) for e, s in zip(ema.parameters(), student.parameters(), strict=True) if s.requires_grad]
    with torch.no_grad():
        torch._foreach_lerp_(here(e for e, _ in pairs), here(s for _, s in pairs), share)
