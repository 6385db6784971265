"""The names of the 400 actions of Kinetics-400, in the order of a network's outputs: data of others, read and never shipped."""

from __future__ import annotations

import gzip
from pathlib import Path

from salt_bench.errors import UserError

FILE = "umt_model/kinetics_400_categories.txt"
COUNT = 400


def read(path: Path) -> tuple[str, ...]:
    """The names in a file of lines "name<tab>number", plain or gzipped, by their numbers. Where `path` is absent, `path`.gz."""
    packed = path.with_name(path.name + ".gz")
    if not path.is_file() and packed.is_file():
        path = packed
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    except FileNotFoundError:
        source = "copy vbench/third_party/umt/kinetics_400_categories.txt from the wheel of vbench 0.1.5 (Apache-2.0) there"
        raise UserError(f"human_action needs the names of the 400 Kinetics actions at {path}: {source}") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no text ({error}): copy it there again") from error
    return _parsed(text, path)


def _parsed(text: str, path: Path) -> tuple[str, ...]:
    pairs = [line.rpartition("\t") for line in text.splitlines() if line.strip()]
    numbered = {int(number): name for name, _, number in pairs if number.strip().isdigit()}
    if sorted(numbered) != list(range(COUNT)):
        raise UserError(f"{path} should hold {COUNT} lines 'name<tab>number' with 0 to {COUNT - 1}: copy it there again")
    return tuple(numbered[number] for number in range(COUNT))
