"""How a command speaks."""

from __future__ import annotations

import os


def say(text: str) -> None:
    """One line to whoever listens."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # whoever read us (head, less) has had enough; that is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
