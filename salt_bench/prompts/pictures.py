"""The pictures that videos begin with: where a prompt's lies, and what a folder of them is."""

from __future__ import annotations

from pathlib import Path

from salt_bench import files
from salt_bench.errors import UserError
from salt_bench.types import Prompt

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def find(folder: Path, prompt: Prompt) -> Path:
    """The first frame of a prompt's video: the file that its suite names, or one that is named by its text.

    Raises UserError where there is none."""
    stems = [folder / f"{prompt.text}{suffix}" for suffix in SUFFIXES]
    named = [folder / prompt.factors["image"]] if "image" in prompt.factors else []
    found = next((path for path in (*named, *stems) if path.is_file()), None)
    if found is None:
        raise UserError(f"{folder} holds no first frame of {prompt.text!r}: add {stems[0].name}, or name another images=…")
    return found


def digest(folder: Path) -> str:
    """What the pictures in a folder show."""
    return files.folder_digest(folder, SUFFIXES)
