"""What several commands let choose, by the names that stand on a command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

UNJUDGED, INTERRUPTED = 6, 130
"""Exit codes: something could not be judged; Ctrl-C."""
WEIGHTS = Path("~/.cache/vbench")
"""Where the official judges keep their weights."""


def listed(text: str) -> list[str]:
    """What stands between the commas of an option."""
    return [word.strip() for word in text.split(",") if word.strip()]


class Suite(StrEnum):
    """Whose prompts, judges and arithmetic."""

    vbench = "vbench"
    vbench_i2v = "vbench_i2v"
    vbench_long = "vbench_long"


class Mode(StrEnum):
    """Which videos a dimension takes."""

    standard = "standard"
    custom = "custom"
