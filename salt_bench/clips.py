"""Sampled clips on disk: one uint8 array per cell, setting and sample seed, written as the clips come and read lazily."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from salt_bench import files
from salt_bench.types import ArrayClip, Clip, Log, Prompt


def save(path: Path, clips: Iterable[Clip], prompts: Sequence[Prompt], log: Log) -> None:
    """Writes one clip per prompt to `path` (.npy, uint8 (N, T, H, W, C)), then `path`.json, which makes it valid.

    Raises ValueError where the sampler skips, reorders or reshapes."""
    facts: list[dict[str, float]] = []
    with files.atomic(path) as file:
        for prompt, clip in zip(prompts, clips, strict=True):
            if clip.prompt.id != prompt.id:
                raise ValueError(f"a sampler keeps the order of its prompts: wanted {prompt.id!r}, got {clip.prompt.id!r}")
            pixels = clip.frames()
            if not facts:
                shape = pixels.shape
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(prompts), *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if pixels.shape != shape or pixels.dtype != np.uint8:
                got = f"{pixels.dtype} {pixels.shape}"
                raise ValueError(f"an arm's clips are uint8 and share a shape: {prompt.id!r} is {got}, not {shape}")
            file.write(np.ascontiguousarray(pixels).data)
            facts.append({"fps": clip.fps, "nfe": clip.nfe, "chunk": clip.chunk})
            log("sample", len(facts) / len(prompts))
    files.write_text(_facts(path), json.dumps(facts))


def load(path: Path, prompts: Sequence[Prompt], seed: int) -> list[ArrayClip] | None:
    """The saved clips, read from disk only where they are looked at; None where they are not there whole."""
    try:
        facts = json.loads(_facts(path).read_text())
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    if len(facts) != len(prompts) or len(pixels) != len(prompts):
        return None
    chunks = [fact.get("chunk", 0) for fact in facts]  # a clip that was saved before there were chunks was made at once
    found = zip(prompts, pixels, facts, chunks, strict=True)
    return [ArrayClip(p, seed, clip, fact["fps"], fact["nfe"], chunk) for p, clip, fact, chunk in found]


def _facts(path: Path) -> Path:
    return path.with_suffix(".json")
