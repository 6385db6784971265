"""ODE regression: the student learns to jump to where a teacher's ODE ends, from a few states on its way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_train.backbones.base import Causal
from salt_train.flow import check_grid, clean, move, per_frame
from salt_train.objectives.base import Objective, Step, guided_velocity
from salt_train.rollout import level


@dataclass(frozen=True)
class ODERegression(Objective):
    """mean ‖x̂_0(x_σ) - x_0*‖²: x_σ is a state of the teacher's guided ODE (`path`, falling noise levels that hold the recipe's
    grid) and x_0* where that ODE ends.

    - `causal`: the teacher is autoregressive and steps all chunks against the true clean past, and so does the student; one
      grid point serves the whole video (Causal Forcing, stage 2a). A noisy chunk and its past then determine the target.
    - not `causal`: the teacher sees the whole video, the student the noisy past only, at a grid point per chunk (CausVid, Self
      Forcing). The past does not determine the target, so the best student is a blurred mean: the reason for stage 2a."""

    path: tuple[float, ...]
    causal: bool = True
    guidance: float = 6.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_grid(self.path)

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor:
        missing = sorted(set(step.grid) - set(self.path))
        if missing:
            raise ValueError(f"an ODE path holds the grid that is distilled, but {missing} are not on it")
        states, end = self._solve(step)
        sight = step.causal(step.noise.shape[2], step.truth if self.causal else None)
        names = ["grid point"] * len(sight.chunks) if self.causal else [f"grid point {i}" for i in range(len(sight.chunks))]
        points = torch.tensor([step.draws(name).choice(len(step.grid)) for name in names], device=end.device)
        at = per_frame(points[None].expand(len(end), -1), sight.chunks)
        sigma = torch.tensor(step.grid, dtype=torch.float32, device=end.device)[at]
        x = torch.stack([states[s] for s in step.grid])[
            at, torch.arange(len(end), device=end.device)[:, None], :, torch.arange(end.shape[2], device=end.device)
        ].movedim(2, 1)
        velocity = step.student(x, sigma, step.cond, causal=sight).velocity
        return ((clean(x, velocity, sigma) - end) ** 2).mean()

    def _solve(self, step: Step) -> tuple[dict[float, Tensor], Tensor]:
        """The teacher's states at every level of the path, and its end."""
        sight = step.causal(step.noise.shape[2], step.truth) if self.causal else None
        x, states = step.noise, {}
        with torch.no_grad():
            for sigma, following in zip(self.path, (*self.path[1:], 0.0), strict=True):
                states[sigma] = x
                x = move(x, self._velocity(step, x, sigma, sight), sigma, following)
        return states, x

    def _velocity(self, step: Step, x: Tensor, sigma: float, sight: Causal | None) -> Tensor:
        assert step.teacher is not None
        return guided_velocity(step.teacher, x, level(sigma, x), step.cond, step.null, self.guidance, sight)
