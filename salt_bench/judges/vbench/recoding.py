"""A clip encoded again, in memory: VBench-Long judges copies of clips, and what its copies lose depends on their encoder."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np

from salt_bench.judges.vbench.base import Refused, Video
from salt_bench.judges.vbench.decode import explained

PLAIN, CRF, BITRATE = "none", "crf23", "pyav13"
ENCODINGS = (PLAIN, CRF, BITRATE)
"""The frames as they are; libx264 at its usual quality, as PyAV writes since version 16; at 1,024,000 bits a second, whatever
the size of the picture, as it wrote up to version 13."""
_BITS = 1_024_000
_AVX512 = 256  # OpenCV's CPU_AVX512_SKX, which has no name in Python; x264 asks for the same set
_FAILED = "cannot be encoded again: "


def steady() -> dict[str, str]:
    """Options that let libx264 write the same bytes whatever ran before. With AVX-512 its macroblock tree reads memory that
    nobody has set, and up to one copy in five is another one, by some grey levels; with AVX2 it does as its plain C does."""
    return {"x264-params": "asm=AVX2"} if cv2.checkHardwareSupport(_AVX512) else {}


class Copy:
    """An mp4 that grows in memory: libx264, yuv420p, one thread, so that the same frames are the same bytes on any machine."""

    def __init__(self, clip: Video, encoding: str) -> None:
        if clip.height % 2 or clip.width % 2:
            raise Refused(f"yuv420p needs even sides, got {clip.width} x {clip.height}: judge it without --reencode")
        self._bytes = io.BytesIO()
        self._container = av.open(self._bytes, "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=int(clip.fps))
        self._stream.width, self._stream.height, self._stream.pix_fmt = clip.width, clip.height, "yuv420p"
        self._stream.codec_context.thread_count = 1
        self._stream.options = {**steady(), **({"crf": "23"} if encoding == CRF else {})}
        if encoding == BITRATE:
            self._stream.bit_rate = _BITS

    def add(self, frames: np.ndarray) -> None:
        """The next frames, uint8 (t, H, W, 3). Raises Refused."""
        with explained(_FAILED):
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                self._container.mux(self._stream.encode(picture))

    def finished(self) -> bytes:
        """The whole file. Raises Refused."""
        with explained(_FAILED):
            self._container.mux(self._stream.encode())
            self._container.close()
        return self._bytes.getvalue()
