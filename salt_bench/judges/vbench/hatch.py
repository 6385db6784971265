"""The escape hatch: VBench's own package in an environment of the user's own, one process for each dimension.

Nothing of it is imported here. A process gets a few lines that use its public class, and leaves an official result behind; a
dimension that crashes costs only itself, and one that is finished is not run again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salt_bench import files
from salt_bench.composites import reading, vbench_total
from salt_bench.composites.rows import Row as Scored
from salt_bench.composites.summary import Measured
from salt_bench.errors import UserError, WrongUse
from salt_bench.judges.vbench import jobs
from salt_bench.judges.vbench.base import Refused
from salt_bench.judges.vbench.decode import opened
from salt_bench.judges.vbench.engine import Job, Row

JUDGE = "vbench-official"
MODES = {"standard": "vbench_standard", "custom": "custom_input"}
_PROBE = """
import importlib.metadata, importlib.util, json, platform
version = None
if importlib.util.find_spec("vbench"):
    try:
        version = importlib.metadata.version("vbench")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
print(json.dumps({"vbench": version, "python": platform.python_version()}))
"""
_DRIVER = """
import json, os, sys
asked = json.loads(sys.argv[1])
import torch
import vbench
full_info = os.path.join(os.path.dirname(vbench.__file__), "VBench_full_info.json")
vbench.VBench(torch.device(asked["device"]), full_info, asked["results"]).evaluate(
    videos_path=asked["videos"], name=asked["dimension"], dimension_list=[asked["dimension"]], mode=asked["mode"]
)
"""


@dataclass(frozen=True)
class Environment:
    """An interpreter that has the package, and the versions of both."""

    python: Path
    vbench: str
    version: str


@dataclass(frozen=True)
class Asked:
    """What the package is asked, besides the dimension. `mode` is ours, "standard" or "custom"."""

    videos: Path
    mode: str
    device: str
    environment: Environment

    def fingerprint(self) -> dict[str, Any]:
        """What a result depends on; the videos by their names, sizes and dates."""
        stats = [(job.name, job.path.stat()) for job in self.jobs()]
        seen = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
        return {"videos": seen, **self.protocol(), "interpreter": str(self.environment.python)}

    def jobs(self) -> tuple[Job, ...]:
        """All videos, by the names that our own judges give them. Raises WrongUse where there is none."""
        return jobs.custom(self.videos, (), {}).jobs

    def protocol(self) -> dict[str, Any]:
        found = self.environment
        return {
            "suite": "vbench",
            "judges": "official",
            "mode": self.mode,
            "device": self.device,
            "versions": {"vbench": found.vbench, "python": found.version},
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a dimension: `measured` is None where `why` says why nothing did. `kept`: it was there already."""

    dimension: str
    measured: Measured | None
    entry: Sequence[Any] = ()
    why: str = ""
    kept: bool = False


def environment(python: Path) -> Environment:
    """The environment of an interpreter. Raises WrongUse where there is none, or no `vbench` in it."""
    found = shutil.which(python)
    if found is None:
        raise WrongUse(f"no interpreter {python}: give the python of the environment that holds the package vbench")
    path = Path(found).absolute()  # not resolved: the link in a virtual environment is what makes it one
    try:
        done = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        version, vbench = str(told["python"]), told["vbench"]
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError, TypeError) as error:
        why = _last(error.stderr) if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise WrongUse(f"{path} is no Python interpreter that works ({why}): give another one") from None
    if vbench is None:
        raise WrongUse(f"{path} (Python {version}) has no package vbench: `{path} -m pip install vbench`, or give another one")
    return Environment(path, str(vbench), version)


def judge(asked: Asked, dimension: str, folder: Path) -> Outcome:
    """One dimension of all videos, in a process of its own; `folder` keeps its result and what it said."""
    known, results = folder / "asked.json", folder / "results"
    fingerprint = json.dumps(asked.fingerprint(), sort_keys=True)
    if known.is_file() and known.read_text(encoding="utf-8") == fingerprint:
        kept = _result(dimension, results, kept=True)
        if not kept.why:
            return kept
    known.unlink(missing_ok=True)
    shutil.rmtree(results, ignore_errors=True)
    why = _run(asked, dimension, folder, results)
    outcome = Outcome(dimension, None, why=why) if why else _result(dimension, results)
    if not outcome.why:
        files.write_text(known, fingerprint)
    return outcome


def _run(asked: Asked, dimension: str, folder: Path, results: Path) -> str:
    """Runs it for as long as it takes; why it failed, "" where it did not."""
    with files.explained(folder):
        results.mkdir(parents=True)
    told = {"videos": str(asked.videos.absolute()), "results": str(results.absolute()), "mode": MODES[asked.mode]}
    told |= {"dimension": dimension, "device": asked.device}
    line = [str(asked.environment.python), "-c", _DRIVER, json.dumps(told)]
    log = folder / "stderr.txt"
    with (folder / "stdout.txt").open("wb") as out, log.open("wb") as err:
        code = subprocess.run(line, cwd=folder, stdout=out, stderr=err, stdin=subprocess.DEVNULL, check=False).returncode
    if code == 0:
        return ""
    ended = f"exit code {code}" if code > 0 else f"signal {-code}"
    return f"vbench ended with {ended}: {_last(log.read_text(encoding='utf-8', errors='replace'))}"


def _result(dimension: str, results: Path, kept: bool = False) -> Outcome:
    """What the package left behind."""
    paths = sorted(results.glob(f"*{reading.OFFICIAL}"))
    if len(paths) != 1:
        found = f"{len(paths)} of them" if paths else "none"
        return Outcome(dimension, None, why=f"vbench ended well, and one *{reading.OFFICIAL} was expected: it left {found}")
    try:
        data = paths[0].read_bytes()
        measured = reading.official(paths[0].name, data, vbench_total.SCHEME)
        if set(measured.stated) != {dimension}:
            raise UserError(f"{paths[0].name} holds {', '.join(measured.stated)}, not {dimension}")
    except UserError as error:
        return Outcome(dimension, None, why=str(error))
    (entry,) = json.loads(data).values()
    return Outcome(dimension, measured, entry, kept=kept)


def rows(asked: Asked, outcome: Outcome) -> list[Row]:
    """The rows of a dimension, in the shape of our own judges'. Of one that failed, every video has a row that says why, where
    it is known that every video was meant."""
    videos = asked.jobs()
    if outcome.measured is None:
        judge, meant = f"{JUDGE}/{outcome.dimension}", videos if asked.mode == "custom" else ()
        return [Row(job.name, job.text, job.index, judge, None, 1.0, outcome.why, {}) for job in meant]
    there = {job.name: job for job in videos}
    listed = next((part for part in outcome.entry[1:] if isinstance(part, list)), [])
    names = [_name(asked.videos, video["video_path"]) for video in listed]
    return [_row(row, name, there) for row, name in zip(outcome.measured.rows, names, strict=True)]


def _row(row: Scored, name: str, there: Mapping[str, Job]) -> Row:
    weight = row.weight if row.weight is not None else _pairs(there.get(name))
    return Row(name, row.prompt, max(row.index, 0), f"{JUDGE}/{row.dimension}", row.value, weight, row.note, row.extra)


def _name(videos: Path, path: str) -> str:
    """A video's path relative to the folder of videos, as our own judges call it."""
    whole, base = Path(os.path.abspath(path)), Path(os.path.abspath(videos))
    return whole.relative_to(base).as_posix() if base in whole.parents else whole.name


def _pairs(job: Job | None) -> float:
    """What a video counts where pairs of frames count, of which official results say nothing: its container knows."""
    try:
        if job is None:
            return 1.0
        with opened(job.path) as film:
            return float(max(film.frames - 1, 1))
    except Refused:
        return 1.0


def _last(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
