"""What a folder of videos lacks, said before anything runs: VBench itself only warns, and scores what is there."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import names
from salt_bench.prompts.base import Suite
from salt_bench.prompts.vbench import folders

FLICKERING = "temporal_flickering"
FILTER = "filter_results"
FILTERED = "filtered_videos"
STATIC = "filtered_static_video.json"


@dataclass(frozen=True)
class Video:
    """One video that a suite asks for: its `name` is `{prompt}-{index}`, without an extension."""

    dimension: str
    text: str
    index: int

    @property
    def name(self) -> str:
        return f"{self.text}-{self.index}"


@dataclass(frozen=True)
class Completeness:
    """`found` maps every video that is there to its file; the rest is `missing`. `doubled`: names with several files, of which
    nobody can say which counts. `colliding`: missing videos whose file a name hides that differs only in case. `strange`: files
    that answer nothing. `few`: prompts of which fewer than `samples` videos stand still, which is no fault."""

    found: Mapping[Video, Path]
    missing: tuple[Video, ...]
    doubled: tuple[str, ...]
    colliding: tuple[str, ...]
    strange: tuple[str, ...]
    few: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.missing and not self.doubled

    def lines(self, most: int = 10) -> Iterator[str]:
        """What to tell a user, at most `most` names of a kind."""
        by_dimension: dict[str, list[str]] = defaultdict(list)
        for video in self.missing:
            by_dimension[video.dimension].append(video.name)
        whole = len(self.found) + len(self.missing)
        yield f"{len(self.found)} of {whole} videos are there"
        for dimension, lacking in by_dimension.items():
            yield f"{dimension}: {len(lacking)} missing: {_some(lacking, most)}"
        if self.colliding:
            yield f"{len(self.colliding)} may be hidden by names that differ only in case: {_some(self.colliding, most)}"
        if self.doubled:
            yield f"{len(self.doubled)} names have several files, keep one each: {_some(self.doubled, most)}"
        if self.few:
            yield f"{len(self.few)} prompts have fewer still videos than are counted: {_some(self.few, most)}"
        if self.strange:
            yield f"{len(self.strange)} files answer no prompt: {_some(self.strange, most)}"


def examine(folder: Path, suite: Suite, dimensions: Sequence[str] = (), filtered: Path | None = None) -> Completeness:
    """Compares a folder with what the suite asks for `dimensions` (all where empty). Videos lie in the folder itself or in one
    folder for each dimension's group. Of temporal_flickering all `suite.filtered` videos are needed, unless a filter's result
    (`filtered`, or `filter_results` in the folder) says which are still."""
    if not folder.is_dir():
        raise WrongUse(f"no such folder of videos: {folder}")
    asked = suite.only(dimensions) if dimensions else suite
    result = _filter_result(folder, filtered)
    wanted, few = _wanted(asked, result)
    shelves = {name: _files(folder / name) for name in {place for d in asked.dimensions for place in folders(d)}}
    shelf_of = {d: _Shelf(tuple(shelves[name] for name in folders(d))) for d in asked.dimensions}
    if result:
        shelf_of[FLICKERING] = _Shelf((_files(result / FILTERED),))
    holders = {video: shelf_of[video.dimension].holders(video.name) for video in wanted}
    found = {video: paths[0] for video, paths in holders.items() if paths}
    missing = tuple(video for video, paths in holders.items() if not paths)
    doubled = tuple(dict.fromkeys(video.name for video, paths in holders.items() if len(paths) > 1))
    seen = {path for paths in holders.values() for path in paths}
    every = [path for shelf in shelves.values() for paths in shelf.values() for path in paths]
    known = {row.text for row in suite.rows}
    strange = tuple(sorted({path.name for path in every if path not in seen and names.parse(path.name).text not in known}))
    return Completeness(found, missing, doubled, _hidden(missing, found), strange, few)


Files = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class _Shelf:
    """Where a dimension's videos may lie, the first folder that holds one winning."""

    places: tuple[Files, ...]

    def holders(self, name: str) -> Sequence[Path]:
        key = names.composed(name)
        return next((place[key] for place in self.places if key in place), ())


def _files(folder: Path) -> Files:
    """Name without extension, in composed form (macOS takes accents apart) → its files."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in names.SUFFIXES and not path.name.startswith("."):
            found[names.composed(names.stem(path.name))].append(path)
    return dict(found)


def _wanted(suite: Suite, result: Path | None) -> tuple[list[Video], tuple[str, ...]]:
    """Every video once for each dimension, and the prompts of which the filter found too few."""
    still = _still(result) if result else None
    wanted: dict[Video, None] = {}
    few = []
    for dimension in suite.dimensions:
        for text in dict.fromkeys(row.text for row in suite.of(dimension)):
            number = suite.filtered if dimension == FLICKERING else suite.samples
            if dimension == FLICKERING and still is not None:
                number = min(suite.samples, still.get(text, 0))
                few += [text] if number < suite.samples else []
            wanted |= dict.fromkeys(Video(dimension, text, index) for index in range(number))
    return list(wanted), tuple(few)


def _filter_result(folder: Path, filtered: Path | None) -> Path | None:
    """The folder of a filter's result, `filtered` or the usual one; None where there is none."""
    if filtered is not None and not (filtered / STATIC).is_file():
        raise WrongUse(f"{filtered} is no filter's result: it holds no {STATIC}")
    usual = folder / FILTER
    return filtered or (usual if (usual / STATIC).is_file() else None)


def _still(result: Path) -> dict[str, int]:
    """Prompt → how many of its videos stand still."""
    path = result / STATIC
    try:
        return {text: int(entry["static_count"]) for text, entry in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged or no filter's result ({error}): run the filter again") from None


def _hidden(missing: Sequence[Video], found: Mapping[Video, Path]) -> tuple[str, ...]:
    there = {names.folded(video.name) for video in found}
    return tuple(dict.fromkeys(video.name for video in missing if names.folded(video.name) in there))


def _some(items: Sequence[str], most: int) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return "; ".join(items[:most]) + more
