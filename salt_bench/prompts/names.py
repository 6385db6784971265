"""The names of videos: `{prompt}-{index}.mp4`, as VBench has them, both ways; and ids that are safe everywhere.

The text of a prompt names its videos because official tools ask for that, and nothing else is kept under it: ids are for that.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from salt_bench.errors import WrongUse

SUFFIXES = (".mp4", ".webm", ".mkv", ".gif")
_INDEX = re.compile(r"^(?P<text>.*)-(?P<index>\d+)$", re.DOTALL)
_BYTES = 255  # the longest file name of the usual file systems


@dataclass(frozen=True)
class Named:
    """What a file name says: the prompt, and the number of the sample, None where it ends in none."""

    text: str
    index: int | None


def file_name(text: str, index: int, suffix: str = ".mp4") -> str:
    """The file name of a prompt's video. WrongUse for a prompt that no file can be called by."""
    name = f"{text}-{index}{suffix}"
    if index < 0:
        raise WrongUse(f"samples are numbered from 0, got {index}")
    if not text.strip() or re.search(r"[/\\\x00-\x1f]", text):
        raise WrongUse(f"a prompt that names files is text of one line without slashes, got {text!r}")
    if len(name.encode()) > _BYTES:
        raise WrongUse(f"a file name has at most {_BYTES} bytes, {name[:40]!r}… has {len(name.encode())}: shorten the prompt")
    return name


def parse(path: str) -> Named:
    """The prompt and number in the last part of a path of any system; a trailing -<digits> is dropped once."""
    found = _INDEX.match(stem(path))
    return Named(found["text"], int(found["index"])) if found else Named(stem(path), None)


def stem(path: str) -> str:
    """The last part of a path of any system, without a video's extension: prompts hold dots, "Fireworks.-0.mp4"."""
    name = re.split(r"[/\\]", path)[-1]
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def safe_id(text: str) -> str:
    """An id for ever: lower-case letters, digits and hyphens, at most 57 characters, different for different prompts."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return f"{words or 'prompt'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def composed(name: str) -> str:
    """The name with every accent composed: macOS hands names back with accents taken apart."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The name as file systems see it that tell neither case nor the composition of accents apart (Windows, macOS)."""
    return composed(name).casefold()


def collisions(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of different names that are one file where case is not told apart."""
    groups: dict[str, set[str]] = defaultdict(set)
    for name in names:
        groups[folded(name)].add(name)
    return tuple(tuple(sorted(group)) for group in groups.values() if len(group) > 1)
