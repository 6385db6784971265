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
    return tuple(Prompt(text, text, WORLD) for text in dict.fromkeys(text for _, text in lines(path)))


def lines(path: Path) -> tuple[tuple[int, str], ...]:
    """Line number, from 1 on, and caption of every line that is not empty.

    Raises UserError where there is no such file or nothing in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"no captions in {path}: {why}; name a text file with one caption per line") from None
    found = tuple((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip())
    if not found:
        raise UserError(f"{path} holds no caption; it has one per line")
    return found
