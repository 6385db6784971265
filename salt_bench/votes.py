"""Blind votes: which of two clips somebody thinks better, as the page of a study saves them.

A file of votes is lines of JSON: what was voted on, then one vote each. Needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from salt_bench import files
from salt_bench.errors import UserError, WrongUse

FILE = "votes.jsonl"
"""The votes of all voters, in the folder of a published study."""
CHOICES = ("left", "right", "tie", "skip")


@dataclass(frozen=True)
class Vote:
    """`left` and `right` are arms; `choice` is one of CHOICES, and a skipped pair says nothing of either."""

    voter: str
    prompt: str
    left: str
    right: str
    choice: str

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) and value for value in asdict(self).values()):
            raise ValueError(f"a vote is made of words, got {asdict(self)}")
        if self.choice not in CHOICES:
            raise ValueError(f"a choice is one of {', '.join(CHOICES)}, got {self.choice!r}")

    @property
    def pair(self) -> tuple[str, str]:
        """The two arms, whichever side they were on."""
        first, second = sorted((self.left, self.right))
        return first, second

    def key(self) -> tuple[str, ...]:
        """What a voter is asked once."""
        return (*self.pair, self.prompt, self.voter)

    def share(self, arm: str) -> float | None:
        """What `arm` has of the vote: 1 where it is better, 0 where it is worse, ½ of a tie; None of a skipped pair."""
        if self.choice in ("tie", "skip"):
            return 0.5 if self.choice == "tie" else None
        return float((self.left if self.choice == "left" else self.right) == arm)


@dataclass(frozen=True)
class Poll:
    """Votes on the clips that a study's page shows: `clips` is their fingerprint (`report.gallery.Gallery.fingerprint`)."""

    study: str
    clips: str
    votes: tuple[Vote, ...]


def drawn(clips: str, voter: str, what: str, prompt: str, *pair: str) -> int:
    """A number of 32 bits that is drawn by its name alone: FNV-1a, mixed as in MurmurHash3. The page draws the same."""
    number = 0x811C9DC5
    for byte in "\x1f".join((clips, voter, what, prompt, *pair)).encode():
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return number ^ number >> 16


def sides(clips: str, voter: str, prompt: str, pair: tuple[str, str]) -> tuple[str, str]:
    """(left, right): on which side each arm of the sorted `pair` stands for this voter."""
    return (pair[1], pair[0]) if drawn(clips, voter, "side", prompt, *pair) % 2 else pair


def read(path: Path) -> Poll:
    """The votes of a file. WrongUse without one, UserError for what a page would not save, with its line."""
    if not path.is_file():
        raise WrongUse(f"no votes {path}: the page of a study saves them (“Vote blind”, then “Save votes”)")
    first, *rest = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    head = _object(path, 1, first, ("study", "clips"))
    names = [field.name for field in fields(Vote)]
    found = [_vote(path, number, _object(path, number, line, names)) for number, line in enumerate(rest, start=2)]
    poll = Poll(str(head["study"]), str(head["clips"]), tuple(found))
    for number, vote in enumerate(found, start=2):
        if (vote.left, vote.right) != sides(poll.clips, vote.voter, vote.prompt, vote.pair):
            raise _damaged(path, number, "the sides are not those that were drawn for this voter")
    return poll


def _object(path: Path, number: int, line: str, names: Iterable[str]) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise _damaged(path, number, str(error)) from None
    if not isinstance(found, dict) or set(found) != set(names):
        raise _damaged(path, number, f"{', '.join(names)} expected")
    return found


def _vote(path: Path, number: int, found: Mapping[str, Any]) -> Vote:
    try:
        return Vote(**found)
    except ValueError as error:
        raise _damaged(path, number, str(error)) from None


def _damaged(path: Path, number: int, why: str) -> UserError:
    return UserError(f"{path}:{number} is damaged ({why}); save the votes again")


def merged(polls: Mapping[Path, Poll]) -> Poll:
    """All votes as one, each once. UserError where files are about other clips, or a voter answers one question in two ways."""
    (first, one), *_ = polls.items()
    seen: dict[tuple[str, ...], tuple[Path, Vote]] = {}
    for path, poll in polls.items():
        if poll.clips != one.clips:
            raise UserError(
                f"{path} is about other clips ({poll.clips}) than {first} ({one.clips}): a report takes its own votes"
            )
        for vote in poll.votes:
            known = seen.setdefault(vote.key(), (path, vote))
            if known[1] != vote:
                what = f"{vote.voter} says {known[1].choice} in {known[0]} and {vote.choice} in {path}"
                raise UserError(f"{what} of {' and '.join(vote.pair)} at {vote.prompt!r}: remove one of the two lines")
    return Poll(one.study, one.clips, tuple(vote for _, (_, vote) in sorted(seen.items())))


def write(path: Path, poll: Poll) -> None:
    """One line each, in the order of `Vote.key`: the same votes, the same bytes."""
    rows = [{"study": poll.study, "clips": poll.clips}, *map(asdict, sorted(poll.votes, key=Vote.key))]
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows))
