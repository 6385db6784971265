"""The names of the 400 actions of Kinetics-400, in the order of a network's outputs: data of others, read and never shipped."""

from __future__ import annotations

from pathlib import Path

from salt_bench.errors import UserError
from salt_bench.prompts.base import text_of

COUNT = 400


def read(path: Path) -> tuple[str, ...]:
    """The names in a file of lines "name<tab>number", plain or gzipped, by their numbers."""
    return _parsed(text_of(path), path)


def _parsed(text: str, path: Path) -> tuple[str, ...]:
    pairs = [line.rpartition("\t") for line in text.splitlines() if line.strip()]
    numbered = {int(number): name for name, _, number in pairs if number.strip().isdigit()}
    if sorted(numbered) != list(range(COUNT)):
        raise UserError(f"{path} should hold {COUNT} lines 'name<tab>number' with 0 to {COUNT - 1}: copy it there again")
    return tuple(numbered[number] for number in range(COUNT))
