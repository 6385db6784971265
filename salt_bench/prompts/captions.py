"""Captions of anybody's, in a text file, one per line."""

from __future__ import annotations

from pathlib import Path

from salt_bench.errors import UserError
from salt_bench.types import Prompt

WORLD = "captions"


def read(path: Path) -> tuple[Prompt, ...]:
    """Every caption once, in the file's order. A caption is its own id, as it is of a folder of videos, so that what is made
    of it is paired with videos that are named by it.

    Raises UserError where there is no such file or nothing in it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"no captions in {path} ({error}); name a text file with one caption per line") from None
    texts = dict.fromkeys(line.strip() for line in lines if line.strip())
    if not texts:
        raise UserError(f"{path} holds no caption; it has one per line")
    return tuple(Prompt(text, text, WORLD) for text in texts)
