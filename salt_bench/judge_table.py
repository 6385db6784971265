"""What judges say of clips whose answer is known: the world's truth, the truth damaged in known ways, and any arm beside them.

A judge that calls true clips false, or cannot see damage, has no say about models: this table is read before any other. It is
a function of its rows; rendering again changes no byte. Needs no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salt_bench import files
from salt_bench.types import ArrayClip, Clip

if TYPE_CHECKING:
    from salt_bench.judges.base import Judge

TRUTH = "truth"
ROWS, PAGE = "rows.jsonl", "report.md"
EXACT = "shapes"
DIGITS = 6
"""Decimals that are kept: beyond them, machines disagree."""


@dataclass(frozen=True)
class Row:
    """The mean of one part of `judge` over the `n` clips of `source` to which it applies, with a 95% interval over clips.

    `worse` is set where the mean is worse than the truth's by more than the part's margin."""

    source: str
    judge: str
    part: str
    n: int
    mean: float
    low: float
    high: float
    worse: bool = False


def damaged(clips: Iterable[Clip], name: str) -> Iterator[Clip]:
    """The clips with the corruption called `name`, each under a seed of its own."""
    from salt_bench.judges.corruptions import corrupt

    for seed, clip in enumerate(clips):
        yield ArrayClip(clip.prompt, clip.seed, corrupt(name, clip.frames(), seed), clip.fps, clip.nfe, clip.chunk)


def measure(source: str, clips: Iterable[Clip], judges: Sequence[Judge], truth: Sequence[Row] = ()) -> list[Row]:
    """The rows of one source, judge by judge; `truth` are the rows of the world's own clips."""
    from salt_bench.judges.base import Features

    found: dict[tuple[str, str], list[float]] = {(j.name, part): [] for j in judges for part in j.outputs}
    for clip in clips:
        features = Features(clip)
        for judge in judges:
            for part, value in judge(clip, features).items():
                if value is not None:
                    found[judge.name, part].append(value)
    outputs = {(j.name, part): output for j in judges for part, output in j.outputs.items()}
    true = {(row.judge, row.part): row.mean for row in truth}
    rows = []
    for key, values in found.items():
        if values:
            mean, low, high = interval(np.array(values), share=outputs[key].unit.startswith("share"))
            loss = (true.get(key, mean) - mean) * outputs[key].better
            margin = (outputs[key].margin or 0.0) * (abs(true.get(key, mean)) if outputs[key].relative else 1.0)
            rows.append(Row(source, *key, len(values), mean, low, high, bool(loss > margin)))
    return rows


def interval(values: np.ndarray, share: bool) -> tuple[float, float, float]:
    """Mean and 95% limits: Wilson's (1927) for a share of clips that are 0 or 1, so that 512 of 512 is not certainty; else
    Student's t."""
    from scipy.stats import norm, t

    n, mean = len(values), float(values.mean())
    if share and np.isin(values, (0.0, 1.0)).all():
        z = float(norm.ppf(0.975))
        centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
        low, high = max(0.0, centre - half), min(1.0, centre + half)
    else:
        half = float(t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
        low, high = mean - half, mean + half
    return round(mean, DIGITS), round(low, DIGITS), round(high, DIGITS)


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Writes the rows and their page into `folder`."""
    lines = [json.dumps(asdict(row), sort_keys=True, separators=(",", ":")) for row in rows]
    files.write_text(folder / ROWS, "\n".join(lines) + "\n")
    files.write_text(folder / PAGE, render(rows))


def read(folder: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in (folder / ROWS).read_text(encoding="utf-8").splitlines()]


def render(rows: Sequence[Row]) -> str:
    """The page, in Markdown."""
    sources = list(dict.fromkeys(row.source for row in rows))
    cells = {(row.source, row.judge, row.part): row for row in rows}
    exact = [key for key in dict.fromkeys((row.judge, row.part) for row in rows) if key[0] == EXACT]
    others = [key for key in dict.fromkeys((row.judge, row.part) for row in rows) if key[0] != EXACT]
    clips = max(row.n for row in rows if row.source == TRUTH)
    return "\n".join(
        [
            "# Judges on clips whose answer is known",
            "",
            f"The world's own {clips} clips of the test prompts (`{TRUTH}`), other sources for the same prompts and seed, and "
            "the truth under each corruption of `salt_bench/judges/corruptions.py`. Means with 95% half-widths over clips; "
            f"▾ marks what is worse than the truth by more than its margin. Every n and limit: [{ROWS}]({ROWS}).",
            "",
            "What `mirror` and `reverse` turn round, a judge of captions must call wrong, and all others must not care; "
            "`brighten` and `darken` change a scene's own colours.",
            "",
            "## The exact judge: share of clips that show what their caption says",
            "",
            *_table(sources, exact, cells, "{part}"),
            "",
            "`accuracy` is the mean over the attributes that apply; `relation` applies to captions of two objects "
            f"(n = {_count(cells, exact, 'relation')}).",
            "",
            "## The other judges",
            "",
            *_table(sources, others, cells, "{judge}: {part}"),
            "",
        ]
    )


def _table(
    sources: Sequence[str], keys: Sequence[tuple[str, str]], cells: Mapping[tuple[str, str, str], Row], head: str
) -> list[str]:
    titles = [head.format(judge=judge, part=part).replace("_", " ") for judge, part in keys]
    lines = ["| | n | " + " | ".join(titles) + " |", "|---|---:|" + "---:|" * len(keys)]
    for source in sources:
        found = [cells.get((source, *key)) for key in keys]
        n = max(row.n for row in found if row)
        lines.append(f"| {source.replace('_', ' ')} | {n} | " + " | ".join(_cell(row) for row in found) + " |")
    return lines


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    return f"{row.mean:.3f} ±{max(row.mean - row.low, row.high - row.mean):.3f}" + (" ▾" if row.worse else "")


def _count(cells: Mapping[tuple[str, str, str], Row], keys: Sequence[tuple[str, str]], part: str) -> int:
    return next((cells[TRUTH, *key].n for key in keys if key[1] == part and (TRUTH, *key) in cells), 0)
