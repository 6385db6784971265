"""Cache-conditioned alignment: with few steps the student must draw what it draws with more, its own cache included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_bench import record
from salt_train.flow import check_clamp, check_grid, noised, shifted
from salt_train.objectives.base import Objective, Step


@dataclass(frozen=True)
class CacheAlignment(Objective):
    """d(φ(x_low), sg φ(x_ref)): x_low is the student's video on a coarse grid, x_ref its video from the same noise on the next
    denser one of `denser`, with a cache of its own (Salt, "Cache-conditioned feature alignment"). φ are the tokens after block
    `tap` of the frozen teacher, both videos noised to a shared τ ~ U[0, `reach`) (shifted, clamped) with shared noise.

    `kind` of d: "relation", mean ReLU(|R - R_ref| - `margin`) over the cosines R of each frame's tokens (the paper's);
    "mmd", a Gaussian-kernel MMD² between each frame's tokens; "drift", the mean squared difference. The first grid point has no
    denser history to learn from: nothing is said there, nor on a grid that has no entry in `denser`."""

    denser: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    weight: float = 0.1
    kind: str = "relation"
    margin: float = 0.1
    tap: int = 20
    reach: float = 0.2
    shift: float = 5.0
    clamp: tuple[float, float] = (0.02, 0.98)

    def __post_init__(self) -> None:
        record.at_least(self, margin=0, tap=0)
        record.positive(self, "shift", "reach")
        record.shares(self, "reach")
        check_clamp(self.clamp)
        check_grid(*(grid for pair in self.denser for grid in pair))
        if self.kind not in DISTANCES:
            raise ValueError(f"an alignment is one of {', '.join(DISTANCES)}, got {self.kind!r}")

    def loss(self, step: Step, critic: nn.Module | None) -> Tensor | None:
        fine = dict(self.denser).get(step.grid)
        if fine is None or step.exit == 0:
            return None
        video = step.rollout.video
        reference = step.reference(fine).video
        u = self.reach * step.uniform("alignment sigma")
        sigma = torch.as_tensor(shifted(u, self.shift)).clamp(*self.clamp)
        noise = step.normal("alignment noise", like=video)
        low, ref = (self._features(step, noised(v, noise, sigma), sigma) for v in (video, reference))
        return DISTANCES[self.kind](low, ref.detach(), self.margin)

    def _features(self, step: Step, x: Tensor, sigma: Tensor) -> Tensor:
        """(B, F, S, D): S tokens of each frame."""
        assert step.teacher is not None
        features = step.teacher(x, sigma, step.cond, tap=self.tap).features
        assert features is not None
        return features.unflatten(1, (x.shape[2], -1))


def relation(low: Tensor, ref: Tensor, margin: float) -> Tensor:
    """mean ReLU(|R - R_ref| - margin) with R the cosines (S, S) between the tokens of one frame."""
    unit = (nn.functional.normalize(f, dim=-1) for f in (low, ref))
    one, other = (u @ u.transpose(-1, -2) for u in unit)
    return torch.relu((one - other).abs() - margin).mean()


def mmd(low: Tensor, ref: Tensor, margin: float) -> Tensor:
    """MMD² with a Gaussian kernel between the tokens of one frame and those of the other, mean over frames; the kernel's width
    is the reference's mean squared distance."""
    width = _apart(ref, ref).mean((-1, -2), keepdim=True).clamp(min=1e-12)
    aa, bb, ab = (torch.exp(-_apart(x, y) / width).mean((-1, -2)) for x, y in ((low, low), (ref, ref), (low, ref)))
    return (aa + bb - 2 * ab).mean()


def drift(low: Tensor, ref: Tensor, margin: float) -> Tensor:
    """mean ‖φ - φ_ref‖², as a share of the reference's mean square."""
    return ((low - ref) ** 2).mean() / (ref**2).mean()


def _apart(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances (…, S, S)."""
    return (x[..., :, None, :] - y[..., None, :, :]).square().sum(-1)


DISTANCES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"relation": relation, "mmd": mmd, "drift": drift}
