"""Weights from an address: a server of our own stands for the hub."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from salt_bench.errors import UserError, WrongUse
from salt_bench.judges.vbench import fetching
from salt_bench.judges.vbench.weights import TABLE, Weight, weight

BYTES = bytes(range(256)) * 5000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that is served in place of the hub."""
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield folder
    httpd.shutdown()
    httpd.server_close()


def file(**other: str) -> Weight:
    return replace(weight("amt"), source=f"{fetching.HUB}/x.pth", **other)


def test_a_file_comes_whole_once_and_is_told_of(server: Path, tmp_path: Path) -> None:
    (server / "x.pth").write_bytes(BYTES)
    told: list[tuple[int, int]] = []
    assert fetching.fetch(file(sha256=hashlib.sha256(BYTES).hexdigest()[:8]), tmp_path, lambda *so_far: told.append(so_far))
    assert (tmp_path / file().path).read_bytes() == BYTES
    assert told[-1] == (len(BYTES), len(BYTES))
    (tmp_path / file().path).write_bytes(b"mine")
    assert not fetching.fetch(file(), tmp_path, print)
    assert (tmp_path / file().path).read_bytes() == b"mine"


def test_a_file_in_a_zip(server: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("models/raft.pth", BYTES)
    (server / "x.pth").write_bytes(buffer.getvalue())
    assert fetching.fetch(file(member="models/raft.pth"), tmp_path, lambda *_: None)
    assert (tmp_path / file().path).read_bytes() == BYTES
    with pytest.raises(UserError, match="no zip that holds"):
        fetching.fetch(replace(file(member="other.pth"), path="y"), tmp_path, lambda *_: None)


def test_other_bytes_and_no_answer_leave_nothing(server: Path, tmp_path: Path) -> None:
    (server / "x.pth").write_bytes(BYTES)
    with pytest.raises(UserError, match="other bytes"):
        fetching.fetch(file(sha256="00"), tmp_path, lambda *_: None)
    (server / "x.pth").unlink()
    with pytest.raises(UserError, match="404"):
        fetching.fetch(file(), tmp_path, lambda *_: None)
    assert not list((tmp_path / file().path).parent.glob("*"))


def test_all_are_those_for_every_use() -> None:
    every = fetching.chosen(["all"])
    assert {one.name for one in TABLE} - {one.name for one in every} == {"amt", "musiq", "tag_list"}
    assert [one.name for one in fetching.chosen(["amt"])] == ["amt"]
    with pytest.raises(WrongUse, match="cannot be fetched"):
        fetching.chosen(["tag_list"])
    with pytest.raises(WrongUse, match="no weights 'ant'"):
        fetching.chosen(["ant"])
