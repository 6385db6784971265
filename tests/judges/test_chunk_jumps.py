"""Jumps between chunks: steps of known height, and motion that is none."""

from __future__ import annotations

import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.chunk_jumps import ChunkJumps, excess
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.shapes import ShapesWorld


def judged(pixels: np.ndarray, chunk: int) -> dict[str, float]:
    clip = ArrayClip(Prompt("p", "p", "w"), 0, pixels, chunk=chunk)
    return ChunkJumps()(clip, Features(clip))  # type: ignore[return-value]


def film(levels: list[int]) -> np.ndarray:
    """Flat frames of these grey levels."""
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 4, 4, 3)).copy()


def test_a_step_at_a_boundary_counts_by_what_it_is_above_the_steps_inside() -> None:
    assert judged(film([10, 10, 10, 20, 20, 20, 20, 20, 20]), 3) == {"jump": 5.0, "seams": 0.5}  # 10 and 0 at two boundaries
    assert excess(film([0, 2, 4, 14, 16, 20, 30, 30, 30]), 3).tolist() == [6.0, 6.0]  # 10 - 4 on either side of the chunk
    assert judged(film([0, 9, 9, 9, 9, 9]), 3) == {"jump": 0.0, "seams": 0.0}  # the step is inside
    assert judged(film([0, 10, 20, 30, 40, 50]), 3) == {"jump": 0.0, "seams": 0.0}  # even change
    assert judged(film([9, 9, 9, 8, 8, 8]), 3) == {"jump": 1.0, "seams": 0.0}  # too small to be seen


@pytest.mark.parametrize("motion", ["still", "right"])
def test_the_truth_does_not_jump(motion: str) -> None:
    world = ShapesWorld()
    prompts = [p for p in world.prompts("test") if p.factors["motion"] == motion][:16]
    for video in world.render(prompts, 0, 36):
        assert judged(video, 4)["jump"] < 0.1
        assert judged(video, 12)["seams"] == 0


def test_the_last_chunk_may_be_short() -> None:
    assert judged(film([0, 0, 0, 0, 7]), 4) == {"jump": 7.0, "seams": 1.0}


@pytest.mark.parametrize(
    ("frames", "chunk", "said"), [(12, 0, "all its frames at once"), (12, 1, "chunks of 1"), (4, 4, "4 frames in chunks of 4")]
)
def test_clips_without_two_chunks_are_refused(frames: int, chunk: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        judged(film([0] * frames), chunk)
