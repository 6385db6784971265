"""The clips beside the numbers: lossless strips of frames, played in step on the page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench import files, record


@dataclass(frozen=True)
class Column:
    """One arm's clips, in the folder `slug`."""

    name: str
    slug: str


@dataclass(frozen=True)
class Row:
    """One prompt."""

    id: str
    text: str


@dataclass(frozen=True)
class Gallery:
    """`folder` holds index.json and <slug>/<slug of the prompt id>.png: `count` frames (H, W) side by side, at `fps`."""

    folder: Path
    fps: float
    count: int
    size: tuple[int, int]
    arms: tuple[Column, ...]
    prompts: tuple[Row, ...]
    made: str

    @classmethod
    def read(cls, folder: Path, order: Sequence[str]) -> Gallery | None:
        """The clips in `folder`, columns in `order`; None without an index. ValueError where a name leaves the folder."""
        if not (folder / "index.json").is_file():
            return None
        index: dict[str, Any] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        known = {**{name: index["arms"][name] for name in order if name in index["arms"]}, **index["arms"]}
        for name in (*known.values(), *index["prompts"]):
            if not name or "/" in name or "\\" in name or name in (".", ".."):
                raise ValueError(f"{folder / 'index.json'}: a slug or prompt id is one plain file name, got {name!r}")
        made = f"{index['setting']}, training seed {index['train_seed']}, sample seed {index['sample_seed']}"
        columns = tuple(Column(name, slug) for name, slug in known.items())
        rows = tuple(Row(id, text) for id, text in index["prompts"].items())
        return cls(folder, index["fps"], index["frames"], (index["size"][0], index["size"][1]), columns, rows, made)

    def clip(self, slug: str, prompt: str) -> Path | None:
        """The strip's file; None where this arm has no clip of this prompt."""
        path = self.folder / slug / f"{files.slug(prompt)}.png"
        return path if path.is_file() else None

    def frames(self, path: Path) -> np.ndarray:
        """uint8 (T, H, W, 3). ValueError where the strip is not `count` frames of `size`."""
        from PIL import Image

        pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
        height, width = self.size
        if pixels.shape[:2] != (height, width * self.count):
            raise ValueError(
                f"{path.name}: {self.count} frames of {height}×{width} side by side expected, got {pixels.shape[:2]}"
            )
        return pixels.reshape(height, self.count, width, 3).transpose(1, 0, 2, 3)

    @cached_property
    def strips(self) -> dict[tuple[str, str], str]:
        """(slug, prompt id) → the PNG as a data URI, so that the page needs no other file and no network."""
        found = {(a.slug, p.id): self.clip(a.slug, p.id) for a in self.arms for p in self.prompts}
        return {key: data_uri(path) for key, path in found.items() if path is not None}

    @cached_property
    def fingerprint(self) -> str:
        """Names the clips: whose they are, of what, and their very bytes."""
        names = {arm.slug: arm.name for arm in self.arms}
        return record.fingerprint([self.made, *sorted([names[slug], id, strip] for (slug, id), strip in self.strips.items())])


def data_uri(path: Path) -> str:
    """A PNG file as text that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
