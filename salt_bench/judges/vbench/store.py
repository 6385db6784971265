"""What was found in videos, kept on disk under digests: of the video's bytes, the pass, its weights, and our own code; what was
found in a clip of a video, under the clip's place as well.

A changed prompt, another dimension or a killed run finds here all that is still true, and a changed file finds nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from salt_bench import files
from salt_bench.judges.vbench.base import Found, Pass, Setup, Video


@dataclass(frozen=True)
class Store:
    """A folder of results. `weights` maps a weight's name to the SHA-256 of its file; `setup` is what passes are made from."""

    folder: Path
    weights: Mapping[str, str]
    setup: Setup

    def get(self, digest: str, look: type[Pass], video: Video) -> Found | None:
        """What `look` found in the video with this digest, or None where that is not known, or no longer readable."""
        try:
            with np.load(self._path(digest, look, video), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, BadZipFile, EOFError):
            return None

    def put(self, digest: str, look: type[Pass], video: Video, found: Found) -> None:
        memory = io.BytesIO()
        np.savez(memory, allow_pickle=False, **found)
        files.write_bytes(self._path(digest, look, video), memory.getvalue())

    @contextmanager
    def alone(self, digest: str) -> Iterator[None]:
        """Nobody else looks at a video with this digest meanwhile: copies of one video are looked at once, whoever is first."""
        with files.lock(self.folder / digest[:2] / f".{digest}.lock"):
            yield

    def facts(self, digest: str) -> dict[str, Any] | None:
        """What `keep_facts` was told of the video with this digest."""
        try:
            return dict(json.loads(self._facts(digest).read_text()))
        except (OSError, ValueError):
            return None

    def keep_facts(self, digest: str, facts: Mapping[str, Any]) -> None:
        files.write_text(self._facts(digest), json.dumps(facts))

    def _facts(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.{code()[:12]}.json"

    def _path(self, digest: str, look: type[Pass], video: Video) -> Path:
        made = [code(), *(self.weights[name] for name in look.weights), self.setup.device, self.setup.precision]
        clip = [video.span.key()] if video.span else []
        key = hashlib.sha256("\0".join([*made, look.reads(video), *clip]).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.{look.name}.{key[:16]}.npz"


@cache
def code() -> str:
    """A digest of the source of this package: what other code has found is not ours."""
    here = Path(__file__).parent
    sources = sorted(path for path in here.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


def weight_digests(folder: Path, paths: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of the weight files, remembered in `folder` for as long as their sizes and dates stay."""
    memory = folder / "weights.json"
    try:
        known = dict(json.loads(memory.read_text()))
    except (OSError, ValueError):
        known = {}
    stamps = {name: f"{path.resolve()}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for name, path in paths.items()}
    found = {name: known.get(stamps[name]) or files.digest(path) for name, path in paths.items()}
    files.write_text(memory, json.dumps(known | {stamps[name]: sha for name, sha in found.items()}))
    return found
