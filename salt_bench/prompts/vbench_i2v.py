"""VBench-I2V's prompts: 1,118 rows of 355 images; 109 of the images are also asked for with each of seven camera moves.

The images themselves are photographs of others and are got by hand; `salt-bench data vbench --from` takes the rows from a copy.
"""

from __future__ import annotations

from pathlib import Path

from salt_bench.errors import UserError
from salt_bench.prompts import data
from salt_bench.prompts.base import Asked, Entry, Size, Suite, entries, thinned

NAME = "vbench_i2v"
CAMERA = "camera_motion"


def suite(size: Size = Size.full, path: Path | None = None) -> Suite:
    """The suite from an info file, plain or gzipped, or a folder of the data; from the cache where `path` is None."""
    return thinned(read(data.find(data.I2V, path)), size, _group, step=2)


def read(path: Path) -> Suite:
    """One info file. UserError where it is none."""
    return Suite(NAME, tuple(_asked(path, row) for row in entries(path)), samples=5, filtered=5)


def _asked(path: Path, row: Entry) -> Asked:
    image = row.get("image_name")
    if not isinstance(image, str):
        raise UserError(f"{path}: {row['prompt_en']!r} has no 'image_name', so it is no row of VBench-I2V")
    kind = {"image_type": str(row.get("image_type", "")), "image_name": image}
    return Asked(row["prompt_en"], tuple(row["dimension"]), dict.fromkeys(row["dimension"], kind), image=image)


def _group(row: Asked) -> tuple[tuple[str, ...], str]:
    """Rows of the same dimensions, and of the same camera move: a size keeps the moves in balance."""
    return row.dimensions, row.text.rpartition(", ")[2] if CAMERA in row.dimensions else ""
