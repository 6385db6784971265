"""Self-consistency: one long step of the student must land where two short ones do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_train.backbones.base import Backbone
from salt_train.flow import RULES, Triplet, check_grid, draw_triplet, move, noised
from salt_train.objectives.base import Objective, Step
from salt_train.rollout import level

WEIGHTINGS = ("released", "constant", "displacement", "velocity")
DETACH = ("none", "composed", "intermediate", "direct")


@dataclass(frozen=True)
class SelfConsistency(Objective):
    """λ · w(s, m, e) · mean ‖Ψ^{s→e}(x_s) - Ψ^{m→e}(Ψ^{s→m}(x_s))‖² (Salt, "SC-DMD").

    `weight` is λ. The state x_s and its velocity are those of the student's rollout, which DMD uses too.
    - `weighting`: "released" w = 1-σ_s; "constant"; "displacement" 1/‖Ψ^{s→e}(x_s) - x_s‖² per sample, detached;
      "velocity" 1/(σ_s-σ_e)². All of them only reweight one difference, (σ_m-σ_e)(v_m-v_s).
    - `detach`: what carries no gradient: "composed" the two-step branch (released), "intermediate" only x_m, "direct" the
      one-step branch, "none" nothing.
    - `rule`: which triplets, see `flow.triplets`.
    - `own_grid`: triplets of another grid than the recipe's, at the student's own sample noised to x_s: the naive shortcut
      on a mismatched grid (the paper's failing "DMD + SCFM")."""

    weight: float = 0.2
    weighting: str = "released"
    detach: str = "composed"
    rule: str = "released"
    own_grid: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"a weighting is one of {', '.join(WEIGHTINGS)}, got {self.weighting!r}")
        if self.rule not in RULES:
            raise ValueError(f"a triplet rule is one of {', '.join(RULES)}, got {self.rule!r}")
        if self.own_grid is not None:
            check_grid(self.own_grid)
        if self.detach not in DETACH:
            raise ValueError(f"detach is one of {', '.join(DETACH)}, got {self.detach!r}")

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor | None:
        if self.weight == 0:
            return None
        u_end, u_middle = step.draws("sc end").uniform(), step.draws("sc middle").uniform()
        if self.own_grid:
            start = step.draws("sc start").choice(len(self.own_grid))
            at = draw_triplet(self.own_grid, start, self.rule, u_end, u_middle)
            return self._mismatched(step, at) if at else None
        stops = step.rollout.stops if step.window is None else [s for s in step.rollout.stops if s.velocity.requires_grad]
        losses, frames = [], []
        for stop in stops:  # one triplet for all chunks that share an exit, against each chunk's own frozen cache
            levels = step.grid if stop.sigma in step.grid else step.chunks.first_grid if step.chunks else ()
            at = draw_triplet(levels, levels.index(stop.sigma), self.rule, u_end, u_middle)
            if at is not None:
                losses.append(self._miss(step, stop.x, stop.velocity, at, stop.cache))
                frames.append(stop.frames[1] - stop.frames[0])
        if not losses:
            return None
        shares = torch.tensor(frames, device=losses[0].device) / sum(frames)
        return (torch.stack(losses) * shares).sum()

    def _mismatched(self, step: Step, at: Triplet) -> Tensor:
        if step.chunks is not None:
            raise ValueError("a grid of its own is for a bidirectional student: a chunk's noised video has no cache")
        x = noised(step.rollout.video.detach(), step.normal("sc noise"), at.start)
        return self._miss(step, x, step.student(x, level(at.start, x), step.cond).velocity, at, None)

    def _miss(self, step: Step, x: Tensor, velocity: Tensor, at: Triplet, cache: object) -> Tensor:
        direct, composed = branches(step.student, x, velocity, at, step.cond, cache, self.detach)
        miss = ((direct - composed) ** 2).flatten(1).mean(1)
        return (weights(self.weighting, at, direct - x) * miss).mean()


def branches(
    net: Backbone, x: Tensor, velocity: Tensor, at: Triplet, cond: Tensor, cache: object, detach: str
) -> tuple[Tensor, Tensor]:
    """x¹ = Ψ^{s→e}(x_s) and x² = Ψ^{m→e}(Ψ^{s→m}(x_s)), both against the same frozen cache, with the gradients that `detach`
    leaves. `velocity` is v_θ(x_s, σ_s)."""
    direct = move(x, velocity, at.start, at.end)
    if detach == "direct":
        direct = direct.detach()
    with torch.set_grad_enabled(torch.is_grad_enabled() and detach != "composed"):
        carried = velocity.detach() if detach in ("composed", "intermediate") else velocity
        middle = move(x, carried, at.start, at.middle)
        composed = move(middle, net(middle, level(at.middle, middle), cond, cache).velocity, at.middle, at.end)
    return direct, composed


def weights(weighting: str, at: Triplet, displacement: Tensor) -> Tensor:
    """(B,) weights w(s, m, e); `displacement` is Ψ^{s→e}(x_s) - x_s (B, C, F, H, W)."""
    if weighting == "displacement":
        return 1 / ((displacement.detach() ** 2).flatten(1).mean(1) + 1e-8)
    value = {"released": 1 - at.start, "constant": 1.0, "velocity": 1 / (at.start - at.end) ** 2}[weighting]
    return displacement.new_full((len(displacement),), value)
