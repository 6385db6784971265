"""Small videos with known pixels, written by PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def noise(count: int, height: int = 32, width: int = 48, seed: int = 0) -> np.ndarray:
    """uint8 (count, height, width, 3), independent in every pixel."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def drift(count: int, height: int = 144, width: int = 160, speed: int = 2) -> np.ndarray:
    """A smooth picture that moves to the right by `speed` pixels per frame."""
    y, x = np.mgrid[:height, :width].astype(float)
    frames = [
        np.stack([128 + 90 * np.sin((x - speed * t) / 9 + c) * np.cos(y / (7 + c)) for c in range(3)], axis=-1)
        for t in range(count)
    ]
    return np.stack(frames).astype(np.uint8)


def write(path: Path, frames: np.ndarray, codec: str = "ffv1", pixels: str = "bgr0", **how: Any) -> Path:
    """Writes a video; ffv1 in bgr0 keeps every byte. `how`: fps, times (in 1/100 s), form (container), options (of codec)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times: Sequence[int] | None = how.get("times")
    options = {"movflags": "faststart"} if path.suffix == ".mp4" and not how.get("form") else {}
    with av.open(str(path), "w", format=how.get("form"), options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(how.get("fps", 8)))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pixels
        stream.options = how.get("options", {"qp": "20"} if codec == "libx264" else {})
        if times:
            stream.codec_context.time_base = Fraction(1, 100)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format=pixels)
            picture.pts, picture.time_base = (
                (times[number], Fraction(1, 100)) if times else (number, 1 / Fraction(how.get("fps", 8)))
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def deep(path: Path, grey: int) -> Path:
    """Three frames of 10-bit 4:2:0 whose luma is 4 · grey everywhere: the same picture as 8-bit luma `grey`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p10le"
        for number in range(3):
            picture = av.VideoFrame(48, 32, "yuv420p10le")
            for plane, value in zip(picture.planes, (4 * grey, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, dtype="<u2").tobytes())
            picture.pts, picture.time_base = number, Fraction(1, 8)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def turned(path: Path) -> Path:
    """The same mp4, whose header now says: show me turned by a quarter, clockwise."""
    data = path.read_bytes()
    upright = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], dtype=">u4").tobytes()
    clockwise = np.array([0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000], dtype=">u4").tobytes()
    track = data.index(b"tkhd")
    place = data.index(upright, track)
    path.write_bytes(data[:place] + clockwise + data[place + len(upright) :])
    return path
