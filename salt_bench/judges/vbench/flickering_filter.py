"""Which samples temporal flickering counts when the static filter is on: the first five static ones of each prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 5


def applied(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with flickering's weights set to 0 where the filter leaves a sample out, and the reason in the note. The order
    is the official one, of paths as text (…-1, -10, -11, …, -2)."""
    static = {row["video"]: row["value"] for row in rows if row["judge"] == "vbench/static_filter"}
    kept: dict[str, int] = {}
    told = {}
    for row in sorted(rows, key=lambda row: row["video"]):
        if row["judge"] == "vbench/temporal_flickering":
            told[row["video"]] = _why_not(static.get(row["video"]), kept.get(row["prompt"], 0))
            kept[row["prompt"]] = kept.get(row["prompt"], 0) + (not told[row["video"]])
    return [_weighed(dict(row), told) for row in rows]


def _why_not(static: float | None, before: int) -> str:
    if static is None:
        return "left out: the static filter could not judge it"
    if not static:
        return "left out: it is not static"
    return f"left out: {KEPT} static samples come before it" if before >= KEPT else ""


def _weighed(row: dict[str, Any], told: Mapping[str, str]) -> dict[str, Any]:
    if row["judge"] == "vbench/temporal_flickering" and (why := told[row["video"]]):
        return row | {"weight": 0.0, "note": "; ".join(part for part in (row["note"], why) if part)}
    return row
