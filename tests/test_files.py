"""Files: what is remembered of them stays true."""

from __future__ import annotations

from pathlib import Path

import pytest

from salt_bench import files


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    path, asked = tmp_path / "weights", []
    path.write_bytes(b"one")
    digest = files.digest
    monkeypatch.setattr(files, "digest", lambda path: asked.append(path) or digest(path))
    first = files.known_digest(path)
    assert (first, files.known_digest(path), len(asked)) == (digest(path), first, 1)
    path.write_bytes(b"another")
    assert files.known_digest(path) == digest(path) != first
    for memo in (tmp_path / "cache" / "digests").glob("[0-9a-f]*"):
        memo.write_text("half a dig")
    assert files.known_digest(path) == digest(path)
    assert len(asked) == 3
