"""What a user did or met, said in one line. Everything else that is raised is our own mistake."""

from __future__ import annotations


class UserError(Exception):
    """Something outside of the program is in the way (disk full, damaged file, a cell that failed): exit code 5."""

    code = 5


class WrongUse(UserError):
    """The command or the study file asks for something that cannot be: exit code 2."""

    code = 2


def words_of(error: object) -> str:
    """What an error of others says, on one line of at most 200 characters; its kind where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__
