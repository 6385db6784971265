"""Weight files from where they are published, where that can be reached: whole and checked, or not there at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from salt_bench import files
from salt_bench.errors import UserError, WrongUse
from salt_bench.judges.vbench.weights import TABLE, Weight

HUB = "https://huggingface.co"
_PIECE, _PATIENCE = 1 << 20, 60.0  # bytes; seconds without an answer

Told = Callable[[int, int], None]
"""Bytes so far, and of how many (0: not said)."""


def chosen(names: list[str]) -> list[Weight]:
    """The files of these names; of "all", those whose licence allows every use and that can be fetched. Raises WrongUse."""
    known = {one.name: one for one in TABLE}
    if names == ["all"]:
        return [one for one in TABLE if one.commercial and _has_address(one)]
    if strange := [name for name in names if name not in known]:
        raise WrongUse(f"no weights {strange[0]!r}: there are {', '.join(known)}")
    if manual := [known[name] for name in names if not _has_address(known[name])]:
        raise WrongUse(f"{manual[0].name} cannot be fetched: it is made from {manual[0].source}")
    return [known[name] for name in names]


def fetch(one: Weight, folder: Path, told: Told) -> bool:
    """Brings a file to its place below `folder`; False where a file lies there already, which is never overwritten.

    HF_ENDPOINT names a mirror of the hub, as for its own tools. Raises UserError where the address cannot be reached, or gives
    other bytes than are known."""
    place = folder / one.path
    if place.is_file():
        return False
    address = one.source.replace(HUB, os.environ.get("HF_ENDPOINT", HUB).rstrip("/"), 1)
    with tempfile.TemporaryFile() as spool:
        _download(address, spool, told)
        with _inside(one, spool) as content, files.atomic(place) as file:
            digest = _copied(content, file)
            if not digest.startswith(one.sha256):
                raise UserError(f"{address} gave other bytes (sha256 {digest[:16]}…) than {one.name} is known to have")
    return True


def _has_address(one: Weight) -> bool:
    return one.source.startswith("http")


def _download(address: str, spool: IO[bytes], told: Told) -> None:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(address, timeout=_PATIENCE) as answer:
            whole, so_far = int(answer.headers.get("Content-Length") or 0), 0
            while piece := answer.read(_PIECE):
                spool.write(piece)
                so_far += len(piece)
                told(so_far, whole)
    except (URLError, OSError) as error:
        raise UserError(f"{address} cannot be fetched ({error}): bring the file to its place by other means") from error
    if whole and so_far != whole:
        raise UserError(f"{address} broke off after {so_far} of {whole} bytes: run the same command again")
    spool.seek(0)


def _inside(one: Weight, spool: IO[bytes]) -> IO[bytes]:
    if not one.member:
        return spool
    try:
        return zipfile.ZipFile(spool).open(one.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{one.source} gave no zip that holds {one.member} ({error})") from error


def _copied(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest()
