"""Fréchet distance: how far the clips, as a set, are from the world's own clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from salt_bench.judges.base import Features
from salt_bench.judges.shared import appearance, motion
from salt_bench.setjudges.base import SetJudge
from salt_bench.setjudges.summary import BLOCKS, scaled, summary
from salt_bench.types import Clip, Output

DIMENSIONS = 48
"""Principal directions of the reference that are kept: enough for 256 clips to fill a covariance."""


@dataclass(frozen=True)
class Frechet(SetJudge):
    """Squared Fréchet distance of two Gaussians, in units of the reference's variance: 0 for the same set, and about 1 for a
    model that always gives the average clip.

    Finite sets lie apart even where their models are equal (the covariances are estimated), and the more so the fewer
    clips: compare arms at the same number of clips only. There that bias is common to the arms and leaves their
    differences alone to first order; the row of the world's own truth shows its size.
    """

    name: ClassVar[str] = "frechet"
    # two draws of 80 clips of one world lay .119 and .106 from a third of 160: a tenth is what the draw alone moves it by
    outputs: ClassVar[Mapping[str, Output]] = {
        "distance": Output("variances of the reference", -1, 0.10, relative=True, title="Fréchet distance")
    }

    def feature(self, clip: Clip, features: Features) -> np.ndarray:
        return summary(clip, features)

    def compare(self, sample: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
        if min(len(sample), len(reference)) < 2:
            return {"distance": None}
        ours, theirs = scaled(sample, reference)
        axes = principal(theirs, DIMENSIONS)
        return {"distance": frechet_distance(*gaussian(ours @ axes), *gaussian(theirs @ axes))}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "dimensions": DIMENSIONS, "parts": list(BLOCKS), **appearance.protocol(), **motion.PROTOCOL}


def principal(points: np.ndarray, count: int) -> np.ndarray:
    """Orthonormal columns (D, min(count, D)): the directions in which `points` (N, D) vary most, the most varied last."""
    return np.linalg.eigh(np.cov(points, rowvar=False))[1][:, -count:]


def gaussian(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and unbiased covariance (D, D) of `points` (N, D)."""
    return points.mean(0), np.atleast_2d(np.cov(points, rowvar=False))


def frechet_distance(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """|m1 - m2|² + tr(S1 + S2 - 2 (S1½ S2 S1½)½) (Dowson & Landau 1982); symmetric, at least 0.

    The roots come from symmetric eigen-decompositions, which stay real where S1 S2 is singular.
    """
    root = _root(covariance)
    cross = np.trace(_root(root @ other_covariance @ root))
    shift = np.square(mean - other_mean).sum()
    return max(0.0, float(shift + np.trace(covariance) + np.trace(other_covariance) - 2.0 * cross))


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric root of a positive semidefinite matrix. Eigenvalues within rounding of 0 are 0: their roots are not."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    floor = len(values) * np.finfo(float).eps * max(values.max(), 0.0)
    return (vectors * np.sqrt(np.where(values > floor, values, 0.0))) @ vectors.T
