"""`python -m salt_bench.simulation [FOLDER]`: simulates everything again and publishes it; a few minutes on one core."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from salt_bench.simulation import coverage, page, rates, table, totals
from salt_bench.simulation.table import Row

FOLDER = Path("reports/statistics")


def rows(intervals: int, composites: int, checks: int) -> Iterator[Row]:
    """Everything, with so many repetitions of each kind."""
    yield from coverage.measure(intervals)
    yield from totals.measure(composites)
    yield from rates.measure(checks)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    found = []
    for count, row in enumerate(rows(coverage.REPETITIONS, totals.REPETITIONS, rates.REPETITIONS), 1):
        found.append(row)
        print(f"\r{count} rows", end="", file=sys.stderr, flush=True)
    table.write(folder, found)
    page.render(folder)
    print(f"\npublished {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
