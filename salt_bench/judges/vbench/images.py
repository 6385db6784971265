"""The pictures that videos were made from: found by the suite's name for them, or by the video's own name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salt_bench.errors import WrongUse
from salt_bench.judges.vbench.engine import Job
from salt_bench.judges.vbench.jobs import Plan
from salt_bench.prompts.base import Suite

SUFFIXES = (".jpg", ".jpeg", ".png")
_CROPS = "crop"


@dataclass(frozen=True)
class Images:
    """Where images are: in `folder`, which may be None; `named` maps a job's name or its prompt to its file's path."""

    folder: Path | None
    named: Mapping[str, Path]

    def of(self, job: Job) -> Path | None:
        """The image of a job's video, None where there is none."""
        return next((path for path in self._places(job) if path.is_file()), None)

    def _places(self, job: Job) -> Iterator[Path]:
        named = self.named.get(job.name) or self.named.get(job.text)
        if named:
            yield named
        elif self.folder:
            yield from (self.folder / f"{stem}{suffix}" for stem in (Path(job.name).stem, job.text) for suffix in SUFFIXES)


def illustrated(plan: Plan, images: Images) -> Plan:
    """The plan with every video's image; a video without one is judged too, and its row says what it lacks."""
    return replace(plan, jobs=tuple(replace(job, image=images.of(job)) for job in plan.jobs))


def of_suite(suite: Suite, folder: Path) -> Images:
    """Those that the suite's rows name."""
    return Images(folder, {row.text: folder / row.image for row in suite.rows if row.image})


def of_prompts(prompts: Mapping[str, Any], file: Path | None, folder: Path | None) -> Images:
    """Those that the entries of a prompt file name, from where the file lies; all others by the names of the videos."""
    told = {name: given["image"] for name, given in prompts.items() if isinstance(given, Mapping) and given.get("image")}
    here = file.parent if file else Path()
    return Images(folder, {name: here / str(image) for name, image in told.items()})


def place(folder: Path, ratio: str) -> Path:
    """The folder of the images at `ratio` ("16-9"): `crop/16-9` as VBench-I2V keeps them, the folder itself where "".

    Raises WrongUse where it is not there, or where there are several ratios and none is chosen."""
    if not folder.is_dir():
        raise WrongUse(f"no folder of images {folder}: give one by --images")
    crops = folder / _CROPS if (folder / _CROPS).is_dir() else folder
    there = sorted(path.name for path in crops.iterdir() if path.is_dir())
    if not ratio and crops != folder:
        raise WrongUse(f"{crops} holds images at several ratios: choose with --ratio, one of {', '.join(there)}")
    if ratio and ratio not in there:
        raise WrongUse(f"no images at --ratio {ratio} in {crops}: there are {', '.join(there) or 'no folders at all'}")
    return crops / ratio
