"""Prompt switch: how long does a clip take to show a caption that changed? The exact judge, chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from salt_bench.judges.base import Features, Judge
from salt_bench.judges.shared.reading import Reading, compare, read
from salt_bench.types import ArrayClip, Clip, Output, Prompt
from salt_bench.worlds.base import switch
from salt_bench.worlds.shapes import ShapesWorld

STATIC = ("shape", "colour", "size", "scene", "count")
"""What a single chunk can show."""


@dataclass(frozen=True)
class PromptSwitch(Judge):
    """Chunk 0 is the first that starts at or after the frame where the caption changes. `latency`: the number k of the first
    chunk of which shape, colour, size, scene and count of the new caption are all true, 0, 1, 2 …; `seconds`: k chunks in
    seconds. `switched`: 1 where there is such a chunk, else 0.

    Where there is none, k is the number of whole chunks that were looked at, so the mean over clips is a lower bound unless
    `switched` is 1; compare arms at one length of clips. Each chunk is read by itself, since in a longer window the new caption
    can win a vote of the frames before it is all there. A clip made at once is read in steps of the world's length. Refused: a
    caption that does not change exactly once, and a clip that ends before a whole chunk has followed.
    """

    name: ClassVar[str] = "prompt_switch"
    # the margins: a quarter of a chunk, that of one second, one clip in twenty
    outputs: ClassVar[Mapping[str, Output]] = {
        "latency": Output("chunks", -1, 0.25, title="Latency of a prompt switch"),
        "seconds": Output("s", -1, 0.25, title="Latency of a prompt switch, in time"),
        "switched": Output("share of clips", +1, 0.05, title="Switches that happened"),
    }
    detects: ClassVar[tuple[str, ...]] = ("freeze", "lag")
    ignores: ClassVar[tuple[str, ...]] = ("flicker", "noise", "frozen_tail")

    def __call__(self, clip: Clip, features: Features) -> dict[str, float | None]:
        at, asked = _new_caption(clip.prompt)
        chunk, frames = clip.chunk or ShapesWorld.frames, len(features.pixels)
        starts = range(-(-at // chunk) * chunk, frames - chunk + 1, chunk)
        if not starts:
            raise ValueError(f"no whole chunk of {chunk} frames follows the switch at frame {at}: the clip has {frames} frames")
        chunks = (read(features.pixels[first : first + chunk]) for first in starts)
        k = next((k for k, found in enumerate(chunks) if shows(found, asked)), len(starts))
        return {"latency": float(k), "seconds": k * chunk / clip.fps, "switched": float(k < len(starts))}

    def protocol(self) -> dict[str, Any]:
        return {"judge": self.name, "attributes": list(STATIC)}

    @classmethod
    def examples(cls) -> list[Clip]:
        """True clips, as if made in chunks of four frames, whose caption changes after three chunks of nine: another scene and
        other objects."""
        world = ShapesWorld()
        still = [p for p in world.prompts("validation") if p.factors["motion"] == "still"]
        pairs = [(a, b) for a, b in pairwise(still) if a.factors["scene"] != b.factors["scene"]]
        prompts = [switch(a, b, 12) for a, b in pairs]
        return [ArrayClip(p, 0, v, world.fps, chunk=4) for p, v in zip(prompts, world.render(prompts, 0, 36), strict=True)]


def shows(found: Reading, asked: Mapping[str, str]) -> bool:
    """Whether all that a single chunk can show of a caption is there."""
    right = compare(found, asked)
    return all(right[name] for name in STATIC)


def _new_caption(prompt: Prompt) -> tuple[int, Mapping[str, str]]:
    """The frame of the prompt's switch, and the factors from there on."""
    parts = ShapesWorld().parts(prompt)
    if len(parts) != 2:
        raise ValueError(
            f"the latency of a switch is that of a caption that changes once, and this one has {len(parts)} part(s)"
        )
    at, new = parts[1]
    return at, new.factors
