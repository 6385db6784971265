"""Something to judge where there is nothing: clips of the embedded world as video files, and weights made at random.

`python -m salt_bench.judges.vbench.smoke FOLDER` writes FOLDER/videos, FOLDER/prompts.json and FOLDER/weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from salt_bench import files
from salt_bench.judges.vbench import random_weights
from salt_bench.judges.vbench.base import Video
from salt_bench.judges.vbench.recoding import CRF, Copy
from salt_bench.samplers.truth import TruthSampler
from salt_bench.types import Prompt
from salt_bench.worlds.shapes import COLOURS, SHAPES, ShapesWorld

CLIPS, LAYERS = 4, 2
SCALE = 6
"""24 pixels to 144: RAFT needs 128."""


def videos(folder: Path) -> dict[str, Any]:
    """Writes the clips below `folder`, named as VBench names them, and returns what `--prompts` wants to know of them."""
    world = ShapesWorld()
    told: dict[str, Any] = {}
    for clip in TruthSampler(world)(world.prompts("test")[:CLIPS], 0):
        name = f"{clip.prompt.text}-{clip.seed}.mp4"
        frames = np.concatenate(list(clip.blocks())).repeat(SCALE, axis=1).repeat(SCALE, axis=2)
        count, height, width, _ = frames.shape
        film = Copy(Video(folder / name, count, height, width, clip.fps), CRF)
        film.add(frames)
        files.write_bytes(folder / name, film.finished())
        told[name] = {"prompt": clip.prompt.text, "auxiliary_info": _auxiliary(clip.prompt)}
    return told


def _auxiliary(prompt: Prompt) -> dict[str, Any]:
    """What the dimensions that look for something look for, in the form of VBench's own suite."""
    one, *rest = (word for word in prompt.text.replace(",", "").split() if word in SHAPES)
    other = rest[0] if rest else one
    place = {"object_a": one, "object_b": other, "relationship": "on the left of"}
    return {
        "object_class": {"object": one},
        "multiple_objects": {"object": f"{one} and {other}"},
        "color": {"color": next(word for word in prompt.text.split() if word in COLOURS)},
        "spatial_relationship": {"spatial_relationship": place},
        "scene": {"scene": {"scene": prompt.text.split()[-1]}},
        "appearance_style": {"appearance_style": "Van Gogh style"},
    }


def main(folder: Path) -> None:
    told = videos(folder / "videos")
    files.write_text(folder / "prompts.json", json.dumps(told, indent=1, ensure_ascii=False))
    made = list(random_weights.write(folder / "weights", LAYERS))
    print(f"{len(told)} clips and {len(made)} files of random weights below {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
