"""The data's way into the cache: checked, whole or not at all, and never installed."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from official_data import DATA, needs_data

from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import data
from salt_bench.prompts.data import DataFile


def quiet(text: str) -> None:
    pass


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> tuple[DataFile, DataFile]:
    """Two files of a pretended data set, the second of which is not in the wheel."""
    one = DataFile("one.json", hashlib.sha256(b"one").hexdigest(), "pkg/data/one.json", "the first")
    two = DataFile("two.txt", hashlib.sha256(b"two").hexdigest(), "", "the second")
    monkeypatch.setattr(data, "FILES", (one, two))
    return one, two


def wheel(path: Path, content: bytes = b"one") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkg/data/one.json", content)
        archive.writestr("pkg/__init__.py", "raise SystemExit('it was run')")
        archive.writestr("../../escaped.txt", "out")
    return path


def test_plain_and_gzipped_files_come_from_a_folder(tmp_path: Path, two: tuple[DataFile, DataFile]) -> None:
    source, cache = tmp_path / "copy", tmp_path / "cache"
    (source / "prompts").mkdir(parents=True)
    (source / "one.json.gz").write_bytes(gzip.compress(b"one"))
    (source / "prompts" / "two.txt").write_bytes(b"two")
    assert tuple(data.obtain(source, cache, quiet)) == two
    assert sorted(path.name for path in cache.iterdir()) == ["NOTICE", "one.json", "two.txt"]
    assert data.find(two[1], cache).read_bytes() == b"two"
    assert data.find(two[0], source).name == "one.json.gz"


def test_the_wheel_gives_its_data_and_nothing_else(tmp_path: Path, two: tuple[DataFile, DataFile]) -> None:
    cache = tmp_path / "cache"
    assert data.obtain(wheel(tmp_path / "vbench.whl"), cache, quiet) == [two[0]]
    assert sorted(path.name for path in cache.iterdir()) == ["NOTICE", "one.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "vbench.whl"]


def test_pip_downloads_and_never_installs(
    tmp_path: Path, two: tuple[DataFile, DataFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        if "download" in command:
            wheel(Path(command[command.index("--dest") + 1]) / "vbench.whl")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(data.subprocess, "run", run)
    assert data.obtain(None, tmp_path, quiet) == [two[0]]
    assert ran[-1][-1] == "vbench==0.1.5"
    assert {"download", "--no-deps", "--only-binary=:all:"} <= set(ran[-1])
    calls = len(ran)
    said: list[str] = []
    data.obtain(None, tmp_path, said.append)
    assert len(ran) == calls, "what is there is not downloaded again"
    assert "has it all already" in said[0]
    (tmp_path / "one.json").write_bytes(b"spoilt")
    assert data.obtain(None, tmp_path, quiet) == [two[0]]
    assert (tmp_path / "one.json").read_bytes() == b"one"


def test_a_failed_download_says_what_to_do(
    tmp_path: Path, two: tuple[DataFile, DataFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: x\nERROR: No matching distribution found\nhint")
    monkeypatch.setattr(data, "_pip", lambda: ["pip"])
    monkeypatch.setattr(data.subprocess, "run", lambda *command, **options: failed)
    with pytest.raises(UserError, match=r"No matching distribution found.*`salt-bench data vbench --from THE.whl`"):
        data.obtain(None, tmp_path / "cache", quiet)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(data, "_pip", lambda: None)
    with pytest.raises(UserError, match="no pip here"):
        data.obtain(None, tmp_path / "cache", quiet)


def test_another_file_of_the_name_is_refused(tmp_path: Path, two: tuple[DataFile, DataFile]) -> None:
    with pytest.raises(UserError, match=r"one.json is not the official one: its SHA-256 is 7692c3ad3540…, got"):
        data.obtain(wheel(tmp_path / "vbench.whl", b"other"), tmp_path / "cache", quiet)
    assert not (tmp_path / "cache" / "one.json").exists()


def test_damaged_and_empty_sources_are_named(tmp_path: Path, two: tuple[DataFile, DataFile]) -> None:
    (tmp_path / "broken.whl").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"broken.whl is damaged or not vbench==0.1.5"):
        data.obtain(tmp_path / "broken.whl", tmp_path / "cache", quiet)
    with pytest.raises(WrongUse, match="--from is a folder"):
        data.obtain(tmp_path / "nowhere", tmp_path / "cache", quiet)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds none of one.json, two.txt"):
        data.obtain(tmp_path / "empty", tmp_path / "cache", quiet)
    whole = gzip.compress(b"one" * 1000)
    for broken in (b"\x1f\x8bnothing", whole[:-9], whole[:12] + b"\xff\xff" + whole[14:]):
        (tmp_path / "empty" / "one.json.gz").write_bytes(broken)
        with pytest.raises(UserError, match=r"one.json.gz is damaged"):
            data.obtain(tmp_path / "empty", tmp_path / "cache", quiet)


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path))
    assert data.cache() == tmp_path / "vbench"
    monkeypatch.delenv("SALT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data.cache() == tmp_path / ".cache" / "salt_bench" / "vbench"


def test_anothers_licence_is_not_taken_for_vbenchs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(data.KINETICS, name="k.txt", sha256=hashlib.sha256(b"k").hexdigest())
    monkeypatch.setattr(data, "FILES", (one, data.LICENCE))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "k.txt").write_bytes(b"k")
    (tmp_path / "copy" / "LICENSE").write_text("all rights reserved")
    assert data.obtain(tmp_path / "copy", tmp_path / "cache", quiet) == [one]
    assert not (tmp_path / "cache" / "LICENSE").exists()


@needs_data
def test_the_official_files_are_known_by_their_bytes(tmp_path: Path) -> None:
    there = data.obtain(DATA, tmp_path, quiet)
    assert there == [data.VBENCH, data.KINETICS, data.WAN, data.I2V]
    assert "Apache License 2.0" in (tmp_path / "NOTICE").read_text()
