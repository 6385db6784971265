"""Sides whose verdicts can be worked out by hand: saved results with chosen numbers, and folders of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from salt_bench.gate.gauge import Gauge
from salt_bench.gate.stored import Stored, save
from salt_bench.types import Output, Prompt, Score
from salt_bench.worlds.shapes import ShapesWorld

OUTPUTS = {
    "bright": {"mean": Output("levels", 0), "error": Output("levels", -1, 2.0), "worst": Output("levels", -1, 9.0)},
    "sharp": {"score": Output("1/px", +1, 0.05, relative=True)},
    "plain": {"score": Output("1", +1)},
}
ERROR, SHARP = Gauge("bright", "error", OUTPUTS["bright"]["error"]), Gauge("sharp", "score", OUTPUTS["sharp"]["score"])
PROTOCOL = {
    "sample_seeds": [0],
    "train_seeds": [0],
    "clip": {"frames": 12, "size": [24, 24], "fps": 8.0},
    "sampler": {"type": "x:Sampling", "grid": [1.0, 0.5], "guidance": 1.0},
    "judges": {"bright": {"judge": "bright"}, "sharp": {"judge": "sharp", "threshold": 3}, "plain": {"judge": "plain"}},
}


def side(errors: Sequence[float | None], sharp: Sequence[float] | None = None, name: str = "side") -> Stored:
    """One score per prompt p000, p001 … of each judge, at sample seed 0."""
    prompts = tuple(Prompt(f"p{i:03}", f"prompt {i}", "toy") for i in range(len(errors)))
    scores = []
    for i, (prompt, error) in enumerate(zip(prompts, errors, strict=True)):
        note = "too dark" if error is None else ""
        scores.append(Score(name, "", 0, prompt.id, 0, "bright", {"mean": 1.0, "error": error, "worst": error}, note=note))
        scores.append(Score(name, "", 0, prompt.id, 0, "sharp", {"score": 1.0 + 0.01 * (i % 5) if sharp is None else sharp[i]}))
        scores.append(Score(name, "", 0, prompt.id, 0, "plain", {"score": 0.5}))
    return Stored(name, prompts, PROTOCOL, OUTPUTS, tuple(scores))


def saved(folder: Path, stored: Stored, **protocol: object) -> str:
    """`stored` on disk, with another protocol where that is given; its word on the command line."""
    save(folder, replace(stored, protocol={**stored.protocol, **protocol}))
    return str(folder)


def errors(count: int = 64, mean: float = 20.0, spread: float = 3.0, seed: int = 0) -> list[float]:
    return (mean + spread * np.random.default_rng(seed).normal(size=count)).tolist()


def shifted(values: Sequence[float], loss: float, spread: float = 1.0, seed: int = 1) -> list[float]:
    """`values` and a loss, which differs between prompts but is exact on average."""
    noise = spread * np.random.default_rng(seed).normal(size=len(values))
    return (np.asarray(values) + loss + noise - noise.mean()).tolist()


# ---------------------------------------------------------------------------------------------------------------- videos


def true_videos(count: int, frames: int = 12) -> dict[str, np.ndarray]:
    """Text → true video of the first test prompts of the embedded world."""
    world = ShapesWorld()
    prompts = world.prompts("test")[:count]
    return {p.text: v for p, v in zip(prompts, world.render(prompts, 0, frames), strict=True)}


def blurred(videos: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every frame, averaged with its neighbours to the left and above."""
    return {text: np.mean([v, np.roll(v, 1, 1), np.roll(v, 1, 2)], axis=0).astype(np.uint8) for text, v in videos.items()}


def write_videos(folder: Path, videos: Mapping[str, np.ndarray], fps: int = 8) -> str:
    """Lossless files named as VBench names them; the folder's word on the command line."""
    folder.mkdir(parents=True)
    for text, pixels in videos.items():
        with av.open(str(folder / f"{text}-0.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=fps)
            stream.height, stream.width = pixels.shape[1:3]
            stream.pix_fmt = "bgr0"
            for frame in pixels:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")))
            container.mux(stream.encode())
    return str(folder)
