"""Scores from files: our own rows, and what official tools leave behind, as files, folders of them and zips of them.

An official `*_eval_results.json` is `{dimension: [dataset score, [{"video_path", "video_results", …}, …], …]}`; of I2V's camera
motion and of VBench-Long the lists stand elsewhere in the entry. What a zip holds is read where it is and never unpacked.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from salt_bench.composites.rows import FRAMES, Row, finite, is_score, of_record
from salt_bench.composites.scheme import Scheme
from salt_bench.composites.summary import Measured
from salt_bench.composites.vbench_long import clip
from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import names

ROWS, SUMMARY, OFFICIAL = "scores.jsonl", "summary.json", "_eval_results.json"
_WEIGHTS = ("cnt_per_video", "frame_count")
"""Where official files say how many pairs or frames of a video count; lists of frames say it by their length."""
_UNSAID = ("subject_consistency",)
"""Counted by pairs of frames, of which official files say nothing."""
_LARGEST = 1 << 30  # bytes of one member of a zip: beyond it, a zip is not a result but an accident


def read(paths: Sequence[Path], scheme: Scheme) -> Measured:
    """All files together, as one model's. UserError names a file that is damaged or none of ours; WrongUse one that is given
    twice, or a dimension that two files hold."""
    found = [(source, part) for path in paths for source, part in _parts(path, scheme)]
    holders: dict[str, str] = {}
    for source, part in found:
        for dimension in {*part.stated, *(row.dimension for row in part.rows)}:
            if dimension in holders:
                raise WrongUse(f"{dimension} stands in both {holders[dimension]} and {source}: give each dimension once")
            holders[dimension] = source
    rows = tuple(row for _, part in found for row in part.rows)
    stated = {name: raw for _, part in found for name, raw in part.stated.items()}
    return Measured(rows, stated, {key: value for _, part in found for key, value in part.protocol.items()})


def _parts(path: Path, scheme: Scheme) -> Iterator[tuple[str, Measured]]:
    if path.is_dir():
        yield from _folder(path, scheme)
    elif not path.is_file():
        raise WrongUse(f"no such file or folder: {path}")
    elif path.suffix == ".zip":
        yield from _zip(path, scheme)
    elif path.suffix == ".jsonl":
        yield str(path), own(path)
    elif path.suffix == ".json":
        yield str(path), official(str(path), _bytes(path), scheme)
    else:
        raise WrongUse(f"{path} is no result: give {ROWS}, *{OFFICIAL}, or a folder or zip of them")


def _folder(folder: Path, scheme: Scheme) -> Iterator[tuple[str, Measured]]:
    if (folder / ROWS).is_file():
        yield str(folder / ROWS), own(folder / ROWS)
        return
    members = _results([str(path.relative_to(folder)) for path in sorted((*folder.glob("*.json"), *folder.glob("*/*.json")))])
    if not members:
        raise UserError(f"{folder} holds neither {ROWS} nor *{OFFICIAL}: nothing to read")
    for name in members:
        yield str(folder / name), official(str(folder / name), _bytes(folder / name), scheme)


def _zip(path: Path, scheme: Scheme) -> Iterator[tuple[str, Measured]]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            members = _results(sorted(name for name in sizes if name.endswith(".json") and name.count("/") <= 1))
            if not members:
                raise UserError(f"{path} holds no *{OFFICIAL}: nothing to read")
            for name in members:
                if sizes[name] > _LARGEST:
                    raise UserError(f"{path}: {name} has {sizes[name]} bytes, which no result has")
                yield f"{path}:{name}", official(f"{path}:{name}", archive.read(name), scheme)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted, or an unknown method
        raise UserError(f"{path} is damaged or no zip ({error}): copy it again") from None


def _results(members: Sequence[str]) -> list[str]:
    """The results among JSON files: those that are called so, or all where none is; hidden files and lists of rows never."""
    seen = [m for m in members if not any(p.startswith((".", "__MACOSX")) for p in m.split("/"))]
    return [m for m in seen if m.endswith(OFFICIAL)] or [m for m in seen if not m.endswith("_full_info.json")]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


# --------------------------------------------------------------------------------------------------------------- our rows


def own(path: Path) -> Measured:
    """Our `scores.jsonl`, with the protocol of the `summary.json` beside it."""
    lines = _text(str(path), _bytes(path)).splitlines()
    rows = tuple(row for number, line in enumerate(lines, 1) if line.strip() and (row := _row(path, number, line)))
    if not rows:
        raise UserError(f"{path} holds no row of a VBench dimension (judge 'vbench/…')")
    return Measured(rows, protocol=_protocol(path.with_name(SUMMARY)))


def _row(path: Path, number: int, line: str) -> Row | None:
    """None for a row of another judge or of a filter."""
    try:
        record = json.loads(line)
        if "prompts" in record and "judge" not in record:
            raise ValueError("this is a study's table; rows of single videos are needed")
        return of_record(record) if is_score(record) else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path} line {number} is no row ({why}): judge again what it was made of") from None


def _protocol(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    found = _json(str(path), _bytes(path))
    return found.get("protocol", {}) if isinstance(found, dict) else {}


# -------------------------------------------------------------------------------------------------------- official results


def official(source: str, data: bytes, scheme: Scheme) -> Measured:
    """One official result file."""
    found = _json(source, data)
    if not isinstance(found, dict) or not found:
        raise UserError(f"{source} is no VBench result: a result is an object of dimensions, this is {_kind(found)}")
    stated, rows = {}, []
    for key, entry in found.items():
        name = key.strip().replace(" ", "_")
        if name not in scheme.dimensions:
            raise UserError(f"{source} is no result of {scheme.name}: it has no dimension {key!r}")
        stated[name] = _score(source, name, entry)
        rows += _rows(source, name, entry, scheme)
    return Measured(tuple(rows), stated)


def _score(source: str, name: str, entry: Any) -> float:
    try:
        raw = finite(entry[0])
    except (TypeError, ValueError, LookupError):
        raise UserError(f"{source}: {name} has no score, its entry starts with {str(entry)[:40]!r}") from None
    if not -1 <= raw <= 1:
        raise UserError(f"{source}: {name} is {raw:g}, a score lies in [-1, 1]: is it per cent, or were no weights loaded?")
    return raw


def _rows(source: str, name: str, entry: Sequence[Any], scheme: Scheme) -> list[Row]:
    videos: list[Any] = next((part for part in entry[1:] if _is_videos(part)), [])
    try:
        return [_official_row(name, video, scheme) for video in videos]
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{source}: {name} has a video that is damaged ({error})") from None


def _is_videos(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and all(isinstance(v, dict) and "video_path" in v for v in part)


def _official_row(name: str, video: Mapping[str, Any], scheme: Scheme) -> Row:
    named = names.parse(video["video_path"])
    piece = ""
    if scheme.clips:
        stem, piece = clip(names.stem(video["video_path"]))
        named = names.parse(stem + ".mp4")
    value, extra = video["video_results"], {key: video[key] for key in (FRAMES,) if key in video}
    known = value is not None and value == value  # NaN is what official code writes where it divided by 0
    note = "" if known else f"the file says {value}"
    index = -1 if named.index is None else named.index
    return Row(named.text, index, name, finite(value) if known else None, _weight(name, video), note, clip=piece, extra=extra)


def _weight(name: str, video: Mapping[str, Any]) -> float | None:
    said = next((finite(video[key]) for key in _WEIGHTS if key in video), None)
    if said is None and isinstance(video.get(FRAMES), list):
        return float(len(video[FRAMES]))
    return None if said is None and name in _UNSAID else said if said is not None else 1.0


def _json(source: str, data: bytes) -> Any:
    try:
        return json.loads(_text(source, data))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source} is damaged or no JSON ({error}): make or copy it again") from None


def _text(source: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{source} is damaged or no text ({error.reason} at byte {error.start}): copy it again") from None


def _kind(found: Any) -> str:
    kinds: dict[type, str] = {list: "a list", dict: "an empty object"}
    return kinds.get(type(found), "a single value")
