"""Clips as video files, for whoever judges files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from salt_bench.errors import UserError
from salt_bench.types import Clip

USUAL = {"codec": "libx264", "pixels": "yuv420p", "crf": "10"}
"""What every player and judge reads; of colour it keeps a quarter, of the rest about everything."""
LOSSLESS = {"codec": "libx264rgb", "pixels": "rgb24", "crf": "0"}
"""The very frames, in files that are several times larger and that fewer programs read."""


def encoded(clip: Clip, encoding: Mapping[str, str] = USUAL) -> bytes:
    """An mp4 of the clip's frames; the same frames are the same bytes, since one thread writes them.

    Raises UserError for a side that is odd, which yuv420p has none of."""
    import av

    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as container:
        stream: Any = container.add_stream(encoding["codec"], rate=Fraction(clip.fps).limit_denominator(1001))
        stream.pix_fmt, stream.options = encoding["pixels"], {"crf": encoding["crf"], "threads": "1"}
        for block in clip.blocks():
            stream.height, stream.width = _sides(clip, block.shape)
            for frame in block:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return memory.getvalue()


def _sides(clip: Clip, shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape[1:3]
    if height % 2 or width % 2:
        raise UserError(f"a video file has even sides, {clip.prompt.text!r} is {height}×{width}: compare the arm itself")
    return height, width
