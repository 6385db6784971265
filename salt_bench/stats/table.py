"""The long table of scores, indexed, so that an effect costs well under a millisecond."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

_KEY = ("arm", "setting", "judge", "part")
_COLUMNS = (*_KEY, "train_seed", "prompt", "sample_seed", "value")


@dataclass(frozen=True)
class Quantity:
    """What is compared: a judge's part at a setting, at `prompts` (all of them where None; a set judge's part already says over
    which prompts it is)."""

    setting: str
    judge: str
    part: str
    prompts: Collection[str] | None = None


@dataclass(frozen=True, eq=False)
class Cube:
    """The values of one (arm, setting, judge, part): float (S, P, K) over sorted training seeds, prompts and sample seeds."""

    seeds: np.ndarray
    prompts: np.ndarray
    samples: np.ndarray
    values: np.ndarray

    def only(self, prompts: np.ndarray) -> Cube:
        keep = np.isin(self.prompts, prompts)
        return Cube(self.seeds, self.prompts[keep], self.samples, self.values[:, keep])


class Table:
    """The long table of scores, indexed once, so that an effect costs well under a millisecond.

    `frame` has the columns arm, setting, train_seed, prompt ("" for set judges), sample_seed, judge, part and value (NaN for
    what could not be judged). Every function of this package takes a Table or such a frame; a frame is indexed anew at each
    call. An arm with training seed 0 alone is an anchor.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        if absent := [name for name in _COLUMNS if name not in frame.columns]:
            raise ValueError(f"a table of scores has the columns {', '.join(_COLUMNS)}; this one lacks {', '.join(absent)}")
        # Sorted, so that sums run in one order, and a page keeps its bytes, however the rows are ordered.
        codes, names = pd.factorize(frame["prompt"].fillna("").astype(str), sort=True)
        self.prompts: tuple[str, ...] = tuple(name for name in names if name)
        self._prompt, self._code = codes, {name: code for code, name in enumerate(names)}
        self._seed, self._sample = (frame[name].to_numpy(dtype=np.int64) for name in ("train_seed", "sample_seed"))
        self._value = frame["value"].to_numpy(dtype=np.float64, na_value=np.nan)
        self._rows = frame.groupby(list(_KEY), sort=False, observed=True).indices
        self._cubes: dict[tuple[str, str, str, str], Cube] = {}
        self._parts: dict[tuple[tuple[str, str, str, str], frozenset[str]], Cube] = {}
        self._known = {name: {key[i] for key in self._rows} for i, name in enumerate(_KEY)}
        arms = frame.groupby("arm")
        alone = arms["train_seed"].max() == 0
        self.anchors: frozenset[str] = frozenset(alone.index[alone])
        self._own: dict[str, str] = arms["setting"].first()[alone & (arms["setting"].nunique() == 1)].to_dict()

    @classmethod
    def of(cls, table: Table | pd.DataFrame) -> Table:
        return table if isinstance(table, Table) else cls(table)

    def has(self, arm: str, what: Quantity) -> bool:
        """Whether there are rows, judged or not, for this; an anchor answers for its own setting."""
        return self._key(arm, what) in self._rows

    def cube(self, arm: str, what: Quantity) -> Cube:
        """The values as a cube; an anchor gives those at its own setting. ValueError where there are none."""
        key = self._key(arm, what)
        if key not in self._rows:
            raise ValueError(self._absent(arm, what.setting, what.judge, what.part))
        if key not in self._cubes:
            self._cubes[key] = self._pivot(key)
        cube = self._cubes[key]
        return cube if what.prompts is None or self._whole(cube) else self._part(key, cube, what.prompts)

    def is_set(self, arm: str, what: Quantity) -> bool:
        """Whether one value stands for a whole set of clips, so that the pairs are per training seed only."""
        return self._whole(self.cube(arm, what))

    def _part(self, key: tuple[str, str, str, str], cube: Cube, prompts: Collection[str]) -> Cube:
        """`cube` at `prompts` alone; a frozenset, which a page asks for thousands of times, is cut out once."""
        if not isinstance(prompts, frozenset):
            return cube.only(self._codes(prompts))
        if (key, prompts) not in self._parts:
            self._parts[key, prompts] = cube.only(self._codes(prompts))
        return self._parts[key, prompts]

    def _whole(self, cube: Cube) -> bool:
        return cube.prompts.tolist() == [self._code.get("")]

    def _codes(self, prompts: Collection[str]) -> np.ndarray:
        return np.array([self._code[name] for name in prompts if name in self._code], dtype=np.int64)

    def _key(self, arm: str, what: Quantity) -> tuple[str, str, str, str]:
        """Where to look: an anchor is measured at its own setting only, which answers for every other."""
        setting = self._own.get(arm, what.setting) if what.setting in self._known["setting"] else what.setting
        return (arm, setting, what.judge, what.part)

    def _pivot(self, key: tuple[str, str, str, str]) -> Cube:
        rows = self._rows[key]
        axes, places = zip(
            *(np.unique(column[rows], return_inverse=True) for column in (self._seed, self._prompt, self._sample)), strict=True
        )
        values = np.full([len(axis) for axis in axes], np.nan)
        flat = np.ravel_multi_index(places, values.shape)
        if np.unique(flat).size < flat.size:
            raise ValueError(
                f"{key} has two values for one (train_seed, prompt, sample_seed); merge the results without duplicates"
            )
        values.flat[flat] = self._value[rows]
        return Cube(axes[0], axes[1], axes[2], values)

    def _absent(self, *key: str) -> str:
        for name, value in zip(_KEY, key, strict=True):
            if value not in self._known[name]:
                return f"no {name} {value!r} in this table; it has {', '.join(sorted(map(repr, self._known[name])))}"
        return f"{key[2]} {key[3]!r} was not measured on arm {key[0]!r} at setting {key[1]!r}"
