"""Whether two sides may be compared at all: their protocols, field by field.

A protocol is JSON: "sample_seeds"; "train_seeds"; "clip" (frames, size, fps); "sampler", what an arm says of how it runs (grid,
update, guidance, cache); "judges", what each says of itself. A side leaves out what it cannot know: a folder of videos does not
say how it was sampled, and a study says the grid alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from salt_bench import record
from salt_bench.types import Prompt

Protocol = Mapping[str, Any]


def differences(candidate: Protocol, baseline: Protocol) -> list[str]:
    """One line for each field that both sides state and that differs: "sampler.grid is … against …"."""
    return list(_differ("", _plain(candidate), _plain(baseline)))


def _plain(value: Any) -> Any:
    return json.loads(record.text(value))


def _differ(path: str, a: Any, b: Any) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(_compared(a, b)):
            yield from _differ(f"{path}.{name}" if path else name, a.get(name), b.get(name))
    elif a != b:
        yield f"{path} is {_short(a)} against {_short(b)}"


def _compared(a: dict[str, Any], b: dict[str, Any]) -> set[str]:
    """Two whole records are compared in every field (a record leaves out what is at its default), else what both state."""
    return set(a) | set(b) if "type" in a and "type" in b else set(a) & set(b)


def _short(value: Any, most: int = 100) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def clip_facts(pixels: np.ndarray, fps: float) -> dict[str, Any]:
    """frames, size [H, W] and frames per second of a clip (T, H, W, C)."""
    frames, *size = pixels.shape[:3]
    return {"frames": frames, "size": size, "fps": round(float(fps), 6)}


def missing_prompts(candidate: Sequence[Prompt], baseline: Sequence[Prompt]) -> list[str]:
    """One line where the candidate lacks prompts of the baseline; a prompt is its id and its text."""
    there = {(p.id, p.text) for p in candidate}
    lacking = [p.text for p in baseline if (p.id, p.text) not in there]
    return [f"prompts: the candidate lacks {len(lacking)} of {len(baseline)}, {lacking[0]!r} for one"] if lacking else []
