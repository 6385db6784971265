"""Settings on a command line: of the type of their field, and named where there is none of that name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

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
