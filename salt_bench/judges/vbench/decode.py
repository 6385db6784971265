"""A video file as frames: one decode, block by block, whoever reads them.

PyAV gives the same RGB bytes as the official readers (decord, OpenCV) for 8-bit video. Deeper video is brought to 8 bit first,
because those readers disagree on it; a rotated one is turned as a player would turn it; a GIF is read by PIL. Whatever a
damaged file makes FFmpeg or PIL say is raised as `Refused`: a file that cannot be read is a row with a reason.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np

from salt_bench.judges.vbench.base import Refused

Source = Path | bytes
"""A video's file, or what stands in one."""

Size = tuple[int, int] | None
"""(height, width) that FFmpeg's bilinear scaler brings a frame to; None for the frame as it is."""

SUFFIXES = (".mp4", ".gif", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".ogv", ".wmv", ".flv")
_BLOCK_BYTES, _BLOCK_FRAMES = 32 << 20, 32
# Real containers only: a text file must not become a playlist that reads other files.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,ogg,asf,h264,hevc,ivf,m4v"
_MOST_PIXELS = 8192 * 8192


@dataclass(frozen=True, eq=False)
class Film:
    """An open video, to be read once. `frames` is how many it holds, and `certain` whether that is known before the last one
    is decoded; `notes` say what was done to its frames; `turns` are quarter turns, anticlockwise."""

    frames: int
    height: int
    width: int
    fps: float
    certain: bool
    notes: tuple[str, ...]
    pictures: Iterator[av.VideoFrame]
    turns: int = 0

    def blocks(self, sizes: Collection[Size]) -> Iterator[dict[Size, np.ndarray]]:
        """The frames in order, uint8 RGB (t, H, W, 3) in every size asked for. Decodes once; raises Refused."""
        makers = {size: _maker(size) for size in sizes}
        length = max(1, min(_BLOCK_FRAMES, _BLOCK_BYTES // (self.height * self.width * 3)))
        block: dict[Size, list[np.ndarray]] = {size: [] for size in makers}
        count = 0
        for count, picture in enumerate(self._checked(), start=1):
            for size, maker in makers.items():
                block[size].append(np.rot90(maker(picture), self.turns))
            if count % length == 0:
                yield {size: np.stack(block.pop(size)) for size in makers}
                block = {size: [] for size in makers}
        if count % length:
            yield {size: np.stack(frames) for size, frames in block.items()}

    def _checked(self) -> Iterator[av.VideoFrame]:
        shape = (self.width, self.height) if self.turns % 2 else (self.height, self.width)
        with explained("cannot be decoded: "):
            for number, picture in enumerate(self.pictures):
                if (picture.height, picture.width) != shape:
                    raise Refused(f"frame {number} is {picture.width} x {picture.height}, the first is {shape[1]} x {shape[0]}")
                if picture.is_corrupt:
                    raise Refused(f"frame {number} is damaged")
                yield picture


@contextmanager
def opened(source: Source) -> Iterator[Film]:
    """The video in a file, which needs no fitting name: what counts is what it holds. Raises Refused."""
    with explained("not a readable video: "):
        start = source.open("rb").read(4) if isinstance(source, Path) else source[:4]
        if not start:
            raise Refused("an empty file (0 bytes)")
        film = _gif(source) if start == b"GIF8" else _video(source)
    yield film


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Damaged bytes make FFmpeg and PIL raise nearly anything: all of it is the file's fault here, and raised as Refused."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise Refused(what + said(error)) from error


def said(error: Exception) -> str:
    """What an error says, in one line and without the path that FFmpeg and the system add."""
    reason = error.strerror if isinstance(error, (OSError, av.FFmpegError)) else ""
    return (reason or str(error) or type(error).__name__).splitlines()[0]


def _open(source: Source) -> av.container.InputContainer:
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    return av.open(_file(source), "r", metadata_errors="replace", options=options)


def _file(source: Source) -> str | io.BytesIO:
    return str(source.absolute()) if isinstance(source, Path) else io.BytesIO(source)


def _video(source: Source) -> Film:
    count = _count(source)
    pictures = _decoded(source)
    first = next(pictures, None)
    if first is None:
        raise Refused("no frame can be decoded")
    turns = round(first.rotation / 90) % 4
    height, width = (first.width, first.height) if turns % 2 else (first.height, first.width)
    shallow = map(_eight_bit, chain([first], pictures))
    return Film(count.shown, height, width, count.fps, count.certain, tuple(_notes(first, turns)), shallow, turns)


def _notes(first: av.VideoFrame, turns: int) -> Iterator[str]:
    if _depth(first) > 8:
        yield f"{_depth(first)}-bit video, brought to 8 bit"
    if turns:
        yield f"turned by {90 * turns} degrees anticlockwise, as its file says"


@dataclass(frozen=True)
class _Count:
    shown: int
    certain: bool
    fps: float


def _count(source: Source) -> _Count:
    """The frames that a file holds and shows, from its packets: nothing is decoded. Certain where its container agrees."""
    with _open(source) as container:
        if not container.streams.video:
            raise Refused("it holds no video")
        stream = container.streams.video[0]
        bytes_there = source.stat().st_size if isinstance(source, Path) else len(source)
        promised = len(stream.index_entries)
        beyond = sum(entry.pos + entry.size > bytes_there for entry in stream.index_entries)
        if beyond:
            raise Refused(f"cut off: the last {beyond} of its {promised} frames are not in the file")
        packets = [(packet.is_discard, packet.is_corrupt) for packet in container.demux(stream) if packet.size]
        hidden, damaged = (sum(flags) for flags in zip(*packets, strict=True)) if packets else (0, 0)
        certain = not hidden and not damaged and len(packets) == stream.frames
        return _Count(len(packets) - hidden, certain, float(stream.average_rate or 0))


def _decoded(source: Source) -> Iterator[av.VideoFrame]:
    with _open(source) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
        yield from container.decode(stream)


def _eight_bit(picture: av.VideoFrame) -> av.VideoFrame:
    return picture if _depth(picture) == 8 else picture.reformat(format=_shallow(picture.format))


def _depth(picture: av.VideoFrame) -> int:
    return max(8, *(component.bits for component in picture.format.components))


def _shallow(deep: av.VideoFormat) -> str:
    """The 8-bit format with the same planes; the next best where there is none."""
    name = re.sub(r"\d+(le|be)$", "", deep.name)
    known = name in {"gray", "gbrp", "yuv420p", "yuv422p", "yuv440p", "yuv444p", "yuva420p", "yuva422p", "yuva444p"}
    return name if known else "rgb24" if deep.is_rgb else "yuv444p"


def _gif(source: Source) -> Film:
    from PIL import Image, ImageSequence

    with Image.open(_file(source), formats=["GIF"]) as image:
        width, height = image.size
        shown = [float(picture.info.get("duration", 0)) for picture in ImageSequence.Iterator(image)]
    count, milliseconds = len(shown), sum(shown)
    fps = 1000 * count / milliseconds if milliseconds else 0.0
    return Film(count, height, width, fps, True, (), _gif_pictures(source))


def _gif_pictures(source: Source) -> Iterator[av.VideoFrame]:
    from PIL import Image, ImageSequence

    with Image.open(_file(source), formats=["GIF"]) as image:
        for picture in ImageSequence.Iterator(image):
            yield av.VideoFrame.from_ndarray(np.asarray(picture.convert("RGB")), format="rgb24")


def _maker(size: Size) -> Callable[[av.VideoFrame], np.ndarray]:
    return _plain if size is None else _Scaler(size)


def _plain(picture: av.VideoFrame) -> np.ndarray:
    return picture.to_ndarray(format="rgb24")


class _Scaler:
    """FFmpeg's filters `scale=W:H:flags=bilinear,format=rgb24`, which is what decord does with a width and a height.
    `VideoFrame.reformat` gives other bytes."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.graph: av.filter.Graph | None = None

    def __call__(self, picture: av.VideoFrame) -> np.ndarray:
        self.graph = self.graph or self._build(picture)
        picture.pts, picture.time_base = None, Fraction(1, 1000)
        self.graph.vpush(picture)
        scaled = self.graph.vpull()
        assert isinstance(scaled, av.VideoFrame)
        return scaled.to_ndarray()

    def _build(self, picture: av.VideoFrame) -> av.filter.Graph:
        graph, (height, width) = av.filter.Graph(), self.size
        source = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 1000)
        )
        graph.link_nodes(
            source,
            graph.add("scale", f"{width}:{height}:flags=bilinear"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ).configure()
        return graph
