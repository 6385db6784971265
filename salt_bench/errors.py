"""What a user did or met, said in one line. Everything else that is raised is our own mistake."""

from __future__ import annotations


class UserError(Exception):
    """Something outside of the program is in the way (disk full, damaged file, a cell that failed): exit code 5."""

    code = 5


class WrongUse(UserError):
    """The command or the study file asks for something that cannot be: exit code 2."""

    code = 2
