"""Settings on a command line: of the type of their field, and named where there is none of that name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from salt_bench import files
from salt_bench.errors import WrongUse
from salt_bench.words import parsed, split


@dataclass(frozen=True)
class Options:
    steps: int | None = None
    rate: float = 0.5
    place: str = ""


def test_a_word_is_split_where_its_settings_begin() -> None:
    assert split("org/name@steps=4,rate=1") == ("org/name", ("steps=4", "rate=1"))
    assert split("folder@home") == ("folder@home", ())
    assert split("folder@home@steps=4") == ("folder@home", ("steps=4",))
    assert split("a=b") == ("a=b", ())


def test_values_are_of_the_type_of_their_field() -> None:
    assert parsed(Options, ("steps=4", "place=a=b")) == Options(4, 0.5, "a=b")
    assert parsed(Options, ()) == Options()
    with pytest.raises(WrongUse, match=r"one of steps=…, rate=0\.5, place=…; got 'stps=4'; did you mean steps\?"):
        parsed(Options, ("stps=4",))
    with pytest.raises(WrongUse, match=r"the option steps is of type int, got '4\.5'"):
        parsed(Options, ("steps=4.5",))
    with pytest.raises(WrongUse, match="an option is NAME=VALUE"):
        parsed(Options, ("steps",))


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
