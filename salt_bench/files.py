"""Files that are there whole or not at all, under locks that a crash releases."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from salt_bench import record
from salt_bench.errors import UserError

_ROOM = "free space and run the same command again; nothing finished is lost"
_REMEDIES = {
    errno.ENOSPC: "disk full while writing {path}: " + _ROOM,
    errno.EDQUOT: "disk quota reached while writing {path}: " + _ROOM,
    errno.EROFS: "{path} lies on a read-only file system: choose another folder or mount it writable",
    errno.EACCES: "no permission to write {path}: choose another folder or change its owner",
    errno.EPERM: "no permission to write {path}: choose another folder or change its owner",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the errors of a full or closed disk into a UserError that names `path` and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        raise UserError(_REMEDIES[error.errno].format(path=error.filename or path)) from error


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` when the block ends well, and not otherwise.

    The bytes are on the disk before the name is: a kill at any moment leaves the old file or the new one.
    """
    unfinished = path.with_name(f".{path.name}.tmp")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(unfinished, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` atomically."""
    with atomic(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` atomically as UTF-8."""
    write_bytes(path, text.encode())


def append_line(path: Path, line: str) -> None:
    """Adds one line to a log; a kill may cost this line, never an earlier or a later one."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            cut_short = file.tell() > 0 and _last_byte(path) != b"\n"
            file.write((b"\n" if cut_short else b"") + line.encode() + b"\n")


def _last_byte(path: Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache() -> Path:
    """The folder of what can be had again: `$SALT_CACHE`, or ~/.cache/salt_bench."""
    return Path(os.environ.get("SALT_CACHE") or Path.home() / ".cache" / "salt_bench")


def known_digest(path: Path) -> str:
    """`digest` of a file of many gigabytes, remembered in the cache as long as its path, size and time stay the same."""
    there = path.resolve()
    facts = there.stat()
    stamp = hashlib.sha256(f"{there}\0{facts.st_size}\0{facts.st_mtime_ns}".encode()).hexdigest()
    known = cache() / "digests" / stamp[:32]
    with lock(known.with_name(".lock")):
        if not (known.is_file() and re.fullmatch(r"[0-9a-f]{64}", known.read_text())):
            write_text(known, digest(there))
        return known.read_text()


def folder_digest(place: Path, suffixes: tuple[str, ...]) -> str:
    """Names and bytes of the files under `place` that end in one of `suffixes`."""
    if not place.is_dir():
        raise UserError(f"no folder {place}: name one that is there")
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in suffixes)
    return record.fingerprint({str(path.relative_to(place)): known_digest(path) for path in found})


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds `path` against other processes; the operating system releases it when its holder dies."""
    from filelock import FileLock

    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def slug(name: str) -> str:
    """`name` as a file name: itself where it is safe, else its safe letters and a few digits that keep it unique."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
