"""Clips on disk come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from salt_bench import clips
from salt_bench.types import ArrayClip, Prompt

PROMPTS = [Prompt("a", "a", "w"), Prompt("b", "b", "w")]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    films = [np.full((8, 4, 4, 3), grey, np.uint8) for grey in (10, 200)]
    made = [ArrayClip(p, 5, film, 4.0, 3, chunk) for p, film, chunk in zip(PROMPTS, films, (4, 0), strict=True)]
    clips.save(tmp_path / "c.npy", made, PROMPTS, lambda stage, share: None)
    return tmp_path / "c.npy"


def test_a_clip_keeps_its_facts(saved: Path) -> None:
    found = clips.load(saved, PROMPTS, 5)
    assert found is not None
    assert [(c.prompt.id, c.seed, c.fps, c.nfe, c.chunk, c.frames()[0, 0, 0, 0]) for c in found] == [
        ("a", 5, 4.0, 3, 4, 10),
        ("b", 5, 4.0, 3, 0, 200),
    ]


def test_a_clip_of_before_there_were_chunks_was_made_at_once(saved: Path) -> None:
    facts = json.loads(saved.with_suffix(".json").read_text())
    saved.with_suffix(".json").write_text(json.dumps([{k: v for k, v in f.items() if k != "chunk"} for f in facts]))
    found = clips.load(saved, PROMPTS, 5)
    assert found is not None
    assert [c.chunk for c in found] == [0, 0]


def test_a_chunk_is_a_number_of_frames() -> None:
    with pytest.raises(ValueError, match="got -1"):
        ArrayClip(PROMPTS[0], 0, np.zeros((1, 2, 2, 3), np.uint8), chunk=-1)
