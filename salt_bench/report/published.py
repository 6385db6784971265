"""Numbers that others published: facts, each with its source and how far it is to be trusted. Never mixed with our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from salt_bench.composites import vbench_total

FILE = Path(__file__).with_name("published_scores.csv")
COLUMNS = ("table", "benchmark", "model", "nfe", "metric", "value", "source", "trust", "note")
KEY = ["table", "model", "nfe", "metric", "source"]
TRUST = ("authors", "secondary", "third party")
TOTALS = ("vbench", "vbench_long")
"""The benchmarks whose total is made of quality and semantic as VBench makes it."""
ROUNDING = 0.01
"""What two decimals of each of the three numbers can make of (4·quality + semantic)/5 − total: 0.005 · (4 + 1)/5 + 0.005."""


@dataclass(frozen=True)
class Total:
    """A published total, in per cent, beside the one that its own quality and semantic give, `computed`."""

    table: str
    model: str
    nfe: int
    source: str
    total: float
    computed: float

    @property
    def fits(self) -> bool:
        return abs(self.total - self.computed) <= ROUNDING + 1e-9

    def __str__(self) -> str:
        apart = self.total - self.computed
        what = f"{self.table} {self.model}, {self.nfe} evaluations ({self.source})"
        return f"{what}: total {self.total:.2f}, of its parts {self.computed:.2f} ({apart:+.2f})"


def load(path: Path = FILE) -> pd.DataFrame:
    """The published scores, one row per number, in the file's order: `COLUMNS`, `nfe` int, `value` float, the rest text.

    ValueError where a column, a number, a source or a known `trust` is missing, or one fact is given twice.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise ValueError(f"{path.name} has the columns {', '.join(COLUMNS)}, got {', '.join(table.columns)}")
    table = table.assign(nfe=_numbers(table, "nfe").astype(int), value=_numbers(table, "value"))
    _check(path.name, table)
    return table


def select(names: Sequence[str]) -> pd.DataFrame:
    """The rows of the tables called `names` ("A1", "T2" …); ValueError names one that the file lacks."""
    table = load()
    known = sorted(set(table["table"]))
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"no published table {missing[0]!r}; there are {', '.join(known)}")
    return table[table["table"].isin(list(names))]


def defect_ratio() -> tuple[float, float]:
    """The semigroup defect that the paper reports for (SC-DMD, DMD), table A3. Only their ratio and order are comparable."""
    a3 = load().query("table == 'A3' and metric == 'defect'").set_index("model")["value"]
    return float(a3["SC-DMD"]), float(a3["DMD"])


def totals(table: pd.DataFrame) -> list[Total]:
    """Every total of `table` whose quality and semantic are known. Numbers of one source belong together; those of several do
    where a model has each of the three just once in its table."""
    whole = table[table["benchmark"].isin(TOTALS) & table["metric"].isin(("total", *vbench_total.SCHEME.total))]
    model = ["table", "benchmark", "model", "nfe"]
    return [
        _total(rows)
        for key in (["source"], [])
        for _, rows in whole.groupby([*model, *key], sort=False)
        if sorted(rows["metric"]) == ["quality", "semantic", "total"] and (key or rows["source"].nunique() > 1)
    ]


def contradictions(table: pd.DataFrame) -> list[Total]:
    """The totals that are not (4·quality + semantic)/5 within rounding."""
    return [one for one in totals(table) if not one.fits]


@dataclass(frozen=True)
class Stilled:
    """A published gain in quality over `baseline` that goes along with less motion; all numbers in per cent."""

    table: str
    model: str
    baseline: str
    quality: tuple[float, float]
    motion: tuple[float, float]

    def __str__(self) -> str:
        (better, quality), (less, motion) = self.quality, self.motion
        gain = f"{self.table} {self.model}: quality {better:.2f} over {self.baseline}'s {quality:.2f}"
        return f"{gain}, with dynamic degree {less:.2f} under its {motion:.2f}"


def stilled(table: pd.DataFrame, baseline: str = "DMD", margin: float = 5.0) -> list[Stilled]:
    """The models that gained quality over `baseline` and lost dynamic degree by more than `margin` points, a clip in twenty."""
    wide = table.pivot_table(index=["table", "model"], columns="metric", values="value", sort=False)
    both = wide.dropna(subset=[name for name in ("quality", "dynamic_degree") if name in wide])
    found = []
    for name, model in both.index if "dynamic_degree" in wide else ():
        if (name, baseline) in both.index:
            (gain, less), (quality, motion) = (both.loc[(name, m), ["quality", "dynamic_degree"]] for m in (model, baseline))
            if gain > quality and less < motion - margin:
                found.append(Stilled(name, model, baseline, (float(gain), float(quality)), (float(less), float(motion))))
    return found


def _total(rows: pd.DataFrame) -> Total:
    values, first = rows.set_index("metric")["value"], rows.iloc[0]
    computed = sum(share * float(values[group]) for group, share in vbench_total.SCHEME.total.items())
    source = " and ".join(dict.fromkeys(rows["source"]))
    return Total(first["table"], first["model"], int(first["nfe"]), source, float(values["total"]), computed)


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    values = pd.to_numeric(table[column], errors="coerce")
    if values.isna().any():
        bad = table.index[values.isna()][0]
        raise ValueError(f"line {bad + 2}: {column} is a number, got {table[column][bad]!r}")
    return values


def _check(name: str, table: pd.DataFrame) -> None:
    for column, allowed in (("trust", TRUST), ("source", None)):
        wrong = table[~table[column].isin(allowed)] if allowed else table[table[column] == ""]
        if len(wrong):
            rule = f"one of {', '.join(TRUST)}" if allowed else "never empty"
            raise ValueError(f"{name} line {wrong.index[0] + 2}: {column} is {rule}, got {wrong[column].iloc[0]!r}")
    if (twice := table.duplicated(KEY)).any():
        raise ValueError(f"{name} line {table.index[twice][0] + 2}: the same fact of one source is given twice; keep one")
