"""What `salt-bench run --dry-run` says: which cells are measured or reused, and what that will cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from salt_bench import cell as cells
from salt_bench import timings
from salt_bench.progress import duration

if TYPE_CHECKING:
    from salt_bench.cell import Cell
    from salt_bench.executors.base import Width
    from salt_bench.study import Plan
    from salt_bench.timings import Cost


def lines(plan: Plan, wanted: Sequence[Cell], width: Width) -> Iterator[str]:
    """One line for each cell, then what all of them take."""
    experience = _experience(plan)
    costs = {cell: _cost(plan, cell, experience) for cell in wanted}
    for cell in plan.cells:
        what = "measure" if cell in costs else "reuse"
        yield f"{what:8} {cell.arm} seed {cell.train_seed}{_said(costs.get(cell))}"
    yield f"{len(wanted)} of {len(plan.cells)} cells to measure, {len(plan.cells) - len(wanted)} to reuse"
    if wanted:
        yield from _forecast([cost for cost in costs.values() if cost], len(wanted), width)


def _experience(plan: Plan) -> timings.Experience:
    work = plan.place.work
    return timings.Experience(timings.read(work), timings.elsewhere(plan.runs, work), plan.study.anchors)


def _cost(plan: Plan, cell: Cell, experience: timings.Experience) -> Cost | None:
    trained = bool(cells.arm_of(plan.study, cell).evidence(cell.train_seed, plan.place.models))
    return experience.cost(cell.arm, cells.clip_count(plan.study, cell), trained)


def _said(cost: Cost | None) -> str:
    if cost is None:
        return ""
    return f", about {duration(cost.seconds)}" + (f" ({duration(cost.train)} of it training)" if cost.train else "")


def _forecast(known: Sequence[Cost], wanted: int, width: Width) -> Iterator[str]:
    """Of all cells: what is not known counts as the mean of what is."""
    if not known:
        yield (
            "forecast: none, nothing was measured yet in this folder of runs. One cell tells what the others of its kind take: "
            "run, stop with Ctrl-C when one is done (nothing finished is lost), and ask again"
        )
        return
    total = sum(cost.seconds for cost in known) * wanted / len(known)
    gpus = f", {_hours(total * width.gpus)} GPU-hours ({width.gpus:g} per cell)" if width.gpus else ""
    yield f"forecast: {duration(total)} of cells{gpus}; {_clock(total, max(cost.seconds for cost in known), wanted, width)}"
    sources = Counter(cost.source for cost in known)
    judged = ", ".join(f"{count} by {source}" for source, count in sources.items())
    blind = f"; {wanted - len(known)} by the mean of those, since nothing like them was measured" if wanted > len(known) else ""
    yield f"  cells are judged by what was measured before: {judged}{blind}"


def _clock(total: float, longest: float, wanted: int, width: Width) -> str:
    at_once = min(width.cells or wanted, wanted)
    said = f"{duration(max(total / at_once, longest))} on the clock"
    return f"{said}, {at_once} at once" if width.cells else f"{said} if the cluster starts all {at_once} at once"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2g}" if seconds < 360_000 else f"{seconds / 3600:.0f}"
