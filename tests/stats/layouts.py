"""Tables and effects whose numbers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats as reference

from salt_bench.stats.table import Quantity
from salt_bench.types import Effect, Output

ACCURACY = Output("share", +1, margin=0.05)
DEFECT = Output("ratio", -1, margin=0.05)
FRECHET = Output("distance", -1, margin=0.10, relative=True)
X = Quantity("4", "j", "x")
"""What `rows` and `table` hold."""
T2, T3, T4 = (reference.t.ppf(0.975, df) for df in (2, 3, 4))


def rows(
    arm: str, values: object, judge: str = "j", part: str = "x", setting: str = "4", prompts: Sequence[str] | None = None
) -> pd.DataFrame:
    """A table of one arm from values[train seed], of a set judge, or with [prompt] or [prompt][sample seed] behind it."""
    cube = np.asarray(values, dtype=float)
    if cube.ndim == 1:
        cube, prompts = cube[:, None], [""]
    cube = cube[:, :, None] if cube.ndim == 2 else cube
    names = prompts if prompts is not None else [f"p{i}" for i in range(cube.shape[1])]
    return pd.DataFrame(
        {
            "arm": arm, "setting": setting, "train_seed": s, "prompt": names[p], "sample_seed": k,
            "judge": judge, "part": part, "value": cube[s, p, k], "weight": 1.0, "note": "",
        }
        for s, p, k in np.ndindex(cube.shape)
    )  # fmt: skip


def table(**arms: object) -> pd.DataFrame:
    return pd.concat([rows(name, values) for name, values in arms.items()], ignore_index=True)


def found(mean: float, error: float = 1.0, degrees: float = 4.0, kind: type[Effect] = Effect, p: float = 0.5) -> Effect:
    half = reference.t.ppf(0.975, degrees) * error
    return kind("arm", "base", "4", "j", "x", mean, mean - half, mean + half, p, error, degrees, 5, 10, 0.0)


def layout(seed: float, prompt: float, rest: float) -> np.ndarray:
    """(3, 4), with MS_seed = 4 seed², MS_prompt = 20 prompt², MS_residual = 4 rest²."""
    s, p = np.array([-1.0, 0, 1]), np.array([-3.0, -1, 1, 3])
    return seed * s[:, None] + prompt * p + rest * np.outer([1, -2, 1], [1, -1, -1, 1])
