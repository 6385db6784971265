"""The latency of a prompt switch: clips that are late by a known number of chunks."""

from __future__ import annotations

import numpy as np
import pytest

from salt_bench.judges.base import Features
from salt_bench.judges.prompt_switch import PromptSwitch
from salt_bench.judges.shapes import ShapesJudge
from salt_bench.suites.shapes import switches
from salt_bench.types import ArrayClip, Prompt
from salt_bench.worlds.base import switch
from salt_bench.worlds.shapes import ShapesWorld

WORLD = ShapesWorld()
PROMPTS = switches(12)


def judged(prompt: Prompt, pixels: np.ndarray, chunk: int = 4) -> dict[str, float]:
    clip = ArrayClip(prompt, 0, pixels, 8.0, chunk=chunk)
    return PromptSwitch()(clip, Features(clip))  # type: ignore[return-value]


def late(prompt: Prompt, frame: int) -> np.ndarray:
    """36 frames of `prompt`, but for the switch, which comes at `frame`."""
    (_, before), (_, after) = WORLD.parts(prompt)
    return WORLD.render([switch(before, after, frame)], 0, 36)[0]


@pytest.mark.parametrize("chunk", [2, 4, 6, 0])
def test_the_truth_switches_at_once(chunk: int) -> None:
    for prompt, video in zip(PROMPTS, WORLD.render(PROMPTS, 0, 36), strict=True):
        assert judged(prompt, video, chunk) == {"latency": 0.0, "seconds": 0.0, "switched": 1.0}


@pytest.mark.parametrize(("frame", "k"), [(16, 1), (20, 2), (32, 5)])
def test_a_late_switch_counts_its_chunks(frame: int, k: int) -> None:
    for prompt in PROMPTS:
        assert judged(prompt, late(prompt, frame)) == {"latency": k, "seconds": k / 2, "switched": 1.0}


def test_a_switch_that_never_comes_is_censored_at_the_end() -> None:
    for prompt in PROMPTS:
        assert judged(prompt, late(prompt, 99)) == {"latency": 6.0, "seconds": 3.0, "switched": 0.0}


def test_chunk_zero_is_the_first_that_starts_behind_the_switch() -> None:
    for (_, before), (_, after) in map(WORLD.parts, PROMPTS[:4]):
        prompt = switch(before, after, 10)
        assert (
            judged(prompt, late(PROMPTS[0], 10) if prompt == PROMPTS[0] else WORLD.render([prompt], 0, 36)[0])["latency"] == 0
        )
        assert judged(prompt, WORLD.render([switch(before, after, 16)], 0, 36)[0])["latency"] == 1


def test_refusals_say_why() -> None:
    video = WORLD.render(PROMPTS[:1], 0, 15)[0]
    with pytest.raises(ValueError, match="no whole chunk of 4 frames follows the switch at frame 12: the clip has 15 frames"):
        judged(PROMPTS[0], video)
    with pytest.raises(ValueError, match="changes once"):
        judged(WORLD.parts(PROMPTS[0])[0][1], video)
    clip = ArrayClip(PROMPTS[0], 0, video)
    with pytest.raises(ValueError, match=r"changes at frame 12.*use prompt_switch"):
        ShapesJudge()(clip, Features(clip))
