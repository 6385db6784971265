"""From a folder of videos to what is asked of each: the suite's own rule, or every dimension of every video."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salt_bench.errors import WrongUse
from salt_bench.judges.vbench.decode import SUFFIXES
from salt_bench.judges.vbench.engine import Job
from salt_bench.prompts import names as file_names
from salt_bench.prompts.base import Suite
from salt_bench.prompts.vbench import unwrapped


@dataclass(frozen=True)
class Plan:
    """The jobs in the order of their names; the videos that the suite asks for and that are not there, with the dimensions
    that miss them; and the files that nothing asks for."""

    jobs: tuple[Job, ...]
    missing: tuple[Mapping[str, str], ...] = ()
    unused: tuple[str, ...] = ()


def custom(videos: Path, names: Sequence[str], prompts: Mapping[str, Any]) -> Plan:
    """Every video in every dimension. Its prompt is the one in `prompts`, else the one in its file name."""
    files, unused = _files(videos)
    stray = sorted(set(prompts) - set(files))
    if stray:
        near = difflib.get_close_matches(stray[0], list(files), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "a key is a path relative to the folder of videos"
        raise WrongUse(f"--prompts names {stray[0]!r}, which is no video below {videos}: {hint}")
    return Plan(tuple(_custom(name, path, names, prompts) for name, path in files.items()), unused=tuple(unused))


def _custom(name: str, path: Path, names: Sequence[str], prompts: Mapping[str, Any]) -> Job:
    named = file_names.parse(os.fsencode(path.name).decode(errors="replace"))
    given = prompts.get(name, named.text)
    told = {} if isinstance(given, str) else given.get("auxiliary_info", {})
    auxiliary = {dimension: unwrapped(dimension, value) for dimension, value in told.items()}
    text = given if isinstance(given, str) else given["prompt"]
    return Job(name, path, text, named.index or 0, tuple(names), auxiliary)


def read_prompts(path: Path) -> dict[str, Any]:
    """{relative path: prompt}; instead of a prompt, {"prompt": …, "auxiliary_info": … as in the suite, "image": its path from
    where this file lies}, the latter two where needed. Raises WrongUse."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WrongUse(f"--prompts {path} cannot be read as JSON ({error})") from error
    if not isinstance(found, dict) or not all(map(_is_prompt, found.values())):
        raise WrongUse(f"--prompts {path} must be a JSON object {{relative path: prompt}}")
    return found


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("prompt"), str))


def standard(videos: Path, names: Sequence[str], suite: Suite, static_filter: bool) -> Plan:
    """Each dimension takes the videos of its own prompts, `{prompt}-{index}` with any extension, and no others."""
    files, unused = _files(videos)
    stems = _by_stem(files)
    jobs, missing = [], []
    for prompt in suite.prompts():
        wanted = [name for name in names if name in prompt.tags]
        auxiliary = {key: value for row in suite.rows if row.text == prompt.text for key, value in row.auxiliary.items()}
        for index in range(suite.filtered if static_filter else suite.samples):
            here, name = _at(index, wanted, suite.samples, static_filter), stems.get(f"{prompt.text}-{index}")
            if here and name:
                jobs.append(Job(name, files[name], prompt.text, index, here, auxiliary))
            else:
                missing += [{"video": f"{prompt.text}-{index}", "dimension": one} for one in here if one != "static_filter"]
    if not jobs:
        raise WrongUse(
            f"no video below {videos} is named {{prompt}}-{{index}} for a prompt of {', '.join(names)}: try --mode custom"
        )
    order = {name: number for number, name in enumerate(names)}
    missing.sort(key=lambda one: order[one["dimension"]])
    strange = set(files) - {job.name for job in jobs}
    return Plan(tuple(sorted(jobs, key=lambda job: job.name)), tuple(missing), (*unused, *sorted(strange)))


def _at(index: int, wanted: Sequence[str], samples: int, static_filter: bool) -> tuple[str, ...]:
    """What is asked of sample `index`: all of it of the first ones, flickering of the others if it is to be filtered."""
    here = tuple(name for name in wanted if index < samples or name == "temporal_flickering")
    return (*here, "static_filter") if static_filter and "temporal_flickering" in here else here


def _by_stem(files: Iterable[str]) -> dict[str, str]:
    stems: dict[str, str] = {}
    for name in files:
        other = stems.setdefault(
            file_names.stem(name) if Path(name).suffix.lower() in file_names.SUFFIXES else Path(name).stem, name
        )
        if other != name:
            raise WrongUse(f"two files for one sample, {other!r} and {name!r}: leave one of them")
    return stems


def _files(videos: Path) -> tuple[dict[str, Path], list[str]]:
    """The videos at or below a path by their relative names, in the order of these; and the names of the other files."""
    if videos.is_file():
        return {_readable(Path(videos.name)): videos}, []
    if not videos.is_dir():
        raise WrongUse(f"no folder {videos}: give a folder of videos, or one video")
    seen = sorted(
        (_readable(path.relative_to(videos)), path) for path in videos.rglob("*") if path.is_file() or path.is_symlink()
    )
    found = {name: path for name, path in seen if _is_video(path) and not _hidden(name)}
    if not found:
        raise WrongUse(f"no videos in {videos}: it holds no file with one of the extensions {' '.join(SUFFIXES)}")
    return found, [name for name, path in seen if name not in found and (_is_video(path) or not _hidden(name))]


def _is_video(path: Path) -> bool:
    """By its name. A link that leads nowhere is one that cannot be read; one to a folder is none, and is not followed."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _hidden(name: str) -> bool:
    """What systems leave behind, such as ".DS_Store" and "._clip.mp4"."""
    return any(part.startswith(".") for part in Path(name).parts)


def _readable(path: Path) -> str:
    """The path with slashes; bytes that are no UTF-8 are spelled out, for a table is text."""
    return os.fsencode(path.as_posix()).decode(errors="backslashreplace")
