"""Votes are read as they were saved, each counts once, and sides are drawn by their name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from salt_bench import votes
from salt_bench.errors import UserError, WrongUse
from salt_bench.votes import Poll, Vote

CLIPS = "0123456789ab"


def cast(voter: str, prompt: str, arm: str, other: str, winner: str) -> Vote:
    """A vote on the sides that are drawn; `winner` is an arm, "tie" or "skip"."""
    first, second = sorted((arm, other))
    left, right = votes.sides(CLIPS, voter, prompt, (first, second))
    return Vote(voter, prompt, left, right, winner if winner in ("tie", "skip") else "left" if winner == left else "right")


def saved(folder: Path, name: str, *found: Vote, clips: str = CLIPS) -> Path:
    votes.write(folder / name, Poll("study", clips, found))
    return folder / name


def test_drawn_numbers_are_known() -> None:
    assert votes.drawn("a", "b", "c", "d") == 0x6FD86162
    assert votes.drawn("λ", "b", "side", "p", "x", "y") == 0x79B8F100


def test_sides_are_drawn_by_voter_and_prompt_and_are_balanced() -> None:
    drawn = [votes.sides(CLIPS, f"voter {v}", f"prompt {p}", ("a", "b"))[0] for v in range(20) for p in range(50)]
    assert 450 < drawn.count("a") < 550
    assert len({tuple(drawn[v : v + 50]) for v in range(0, 1000, 50)}) == 20
    assert votes.sides(CLIPS, "v", "p", ("a", "b")) == votes.sides(CLIPS, "v", "p", ("a", "b"))


@pytest.mark.parametrize(
    ("choice", "shares"), [("left", (1, 0)), ("right", (0, 1)), ("tie", (0.5, 0.5)), ("skip", (None, None))]
)
def test_a_vote_goes_to_the_clip_that_was_chosen(choice: str, shares: tuple[float | None, float | None]) -> None:
    vote = Vote("v", "p", "l", "r", choice)
    assert (vote.share("l"), vote.share("r")) == shares


def test_files_come_back_and_keep_their_bytes_whatever_the_order(tmp_path: Path) -> None:
    found = [cast("v", "p1", "a", "b", "a"), cast("v", "p2", "a", "b", "tie"), cast("λ", "p1", "b", "c", "skip")]
    one, other = saved(tmp_path, "1.jsonl", *found), saved(tmp_path, "2.jsonl", *reversed(found))
    assert set(votes.read(one).votes) == set(found)
    assert one.read_bytes() == other.read_bytes()
    assert votes.merged({one: votes.read(one), other: votes.read(other)}) == votes.read(one)


def test_one_question_has_one_answer(tmp_path: Path) -> None:
    one = saved(tmp_path, "1.jsonl", cast("v", "p", "a", "b", "a"))
    other = saved(tmp_path, "2.jsonl", cast("v", "p", "a", "b", "b"))
    with pytest.raises(UserError, match=r"v says (left|right) in .*1\.jsonl and (left|right) in .*2\.jsonl of a and b"):
        votes.merged({one: votes.read(one), other: votes.read(other)})
    strange = saved(tmp_path, "3.jsonl", clips="other")
    with pytest.raises(UserError, match=r"3\.jsonl is about other clips \(other\)"):
        votes.merged({one: votes.read(one), strange: votes.read(strange)})


def test_what_no_page_saves_is_refused_with_its_line(tmp_path: Path) -> None:
    vote = cast("v", "p", "a", "b", "a")
    turned = saved(tmp_path, "1.jsonl", replace(vote, left=vote.right, right=vote.left))
    with pytest.raises(UserError, match=r"1\.jsonl:2 is damaged \(the sides are not those that were drawn"):
        votes.read(turned)
    path = saved(tmp_path, "2.jsonl", vote)
    head, line = path.read_text().splitlines()
    for broken, why in (
        (line[:-3], "2 is damaged"),
        (json.dumps({**json.loads(line), "choice": "up"}), "a choice is one of left, right, tie, skip, got 'up'"),
        (json.dumps({**json.loads(line), "voter": 1}), "a vote is made of words"),
        (json.dumps({**json.loads(line), "more": 1}), "voter, prompt, left, right, choice expected"),
    ):
        path.write_text(f"{head}\n{broken}\n")
        with pytest.raises(UserError, match=why):
            votes.read(path)
    path.write_text("")
    with pytest.raises(UserError, match="1 is damaged"):
        votes.read(path)
    with pytest.raises(WrongUse, match="Vote blind"):
        votes.read(tmp_path / "none.jsonl")
