"""Names of videos, both ways, and what cannot be a name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salt_bench.errors import WrongUse
from salt_bench.prompts import names
from salt_bench.prompts.names import collisions, file_name, parse, safe_id, stem

LETTERS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\")
TEXTS = st.text(LETTERS, min_size=1, max_size=50).filter(str.strip)


@pytest.mark.parametrize(
    ("path", "text", "index"),
    [
        ("a dog runs-0.mp4", "a dog runs", 0),
        ("a dog runs-12.gif", "a dog runs", 12),
        ("v/sub-3/Fireworks.-0.mp4", "Fireworks.", 0),
        ("C:\\v\\a dog-1.MP4", "a dog", 1),
        ("Route-66-2.mp4", "Route-66", 2),
        ("a well-lit room-007.webm", "a well-lit room", 7),
        ("no number.mp4", "no number", None),
        ("a close-up", "a close-up", None),
        ("-3.mp4", "", 3),
    ],
)
def test_a_name_says_its_prompt_and_number(path: str, text: str, index: int | None) -> None:
    assert parse(path) == names.Named(text, index)


@given(TEXTS, st.integers(0, 99), st.sampled_from(names.SUFFIXES))
def test_names_go_both_ways(text: str, index: int, suffix: str) -> None:
    if len(text.encode()) < 240:
        assert parse(f"some/folder/{file_name(text, index, suffix)}") == names.Named(text, index)


def test_a_name_ends_in_its_number_and_suffix() -> None:
    assert file_name("A person is clapping", 3) == "A person is clapping-3.mp4"
    assert file_name("A person is clapping", 3, ".gif") == "A person is clapping-3.gif"
    assert stem("x/Fireworks.-0.mp4") == "Fireworks.-0"


@pytest.mark.parametrize("text", ["../secret", "a/b", "a\\b", "two\nlines", "nul\0", "  ", ""])
def test_a_prompt_cannot_lead_out_of_its_folder(text: str) -> None:
    with pytest.raises(WrongUse, match="text of one line without slashes"):
        file_name(text, 0)


def test_a_name_fits_a_file_system() -> None:
    assert file_name("a" * 249, 0)
    with pytest.raises(WrongUse, match="at most 255 bytes"):
        file_name("ä" * 130, 0)
    with pytest.raises(WrongUse, match="numbered from 0, got -1"):
        file_name("a dog", -1)


@given(st.text(max_size=300))
def test_ids_are_safe_everywhere(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-[0-9a-f]{8}", safe_id(text))
    assert len(safe_id(text)) <= 57
    assert safe_id(text) != safe_id(text + " ")


def test_ids_are_for_ever() -> None:
    assert safe_id("A fantasy landscape") == "a-fantasy-landscape-b290f2ea"
    assert safe_id("A fantasy landscape") != safe_id("a fantasy landscape")
    assert safe_id("rock-carved façades").startswith("rock-carved-facades-")


def test_names_that_differ_in_case_or_accents_alone_collide() -> None:
    assert collisions(["A fantasy landscape", "a castle", "a fantasy landscape"]) == (
        ("A fantasy landscape", "a fantasy landscape"),
    )
    assert len(collisions(["façades", "fac\u0327ades"])) == 1
    assert collisions(["a", "a", "b"]) == ()
