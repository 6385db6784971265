"""How a pipeline of diffusers is called, and whether it can be called like that."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import Any

from salt_bench.errors import WrongUse

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
CLOCKS = ("frame_rate", "fps")
"""What a call has for frames per second."""
CALLED = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "frames": "num_frames",
    "height": "height",
    "width": "width",
    "negative": "negative_prompt",
}
"""What diffusers calls a setting."""


@dataclass(frozen=True)
class Settings:
    """How a pipeline is called; None and "" leave it to the pipeline. `images` is a folder of first frames, named as VBench-I2V
    names them, or <prompt text>.png. `transformer` is a folder whose transformer stands in for the pipeline's own, such as
    `salt-train convert` makes. Of `dtype` is all but the VAE, which is fp32."""

    steps: int | None = None
    guidance: float | None = None
    frames: int | None = None
    height: int | None = None
    width: int | None = None
    fps: float | None = None
    negative: str = ""
    images: str = ""
    transformer: str = ""
    dtype: str = "fp32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, got {self.dtype!r}")
        for name in ("steps", "frames", "height", "width", "fps"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} is more than 0, got {value}")


def takes(kind: type) -> dict[str, Any]:
    """Parameter → default of a pipeline's call; `inspect.Parameter.empty` where it has none."""
    return {name: p.default for name, p in inspect.signature(kind.__call__).parameters.items()}


def check(kind: type, settings: Settings) -> None:
    """Raises WrongUse where pipelines of a `kind` make no videos from text, or take none of what is set."""
    known, name = takes(kind), kind.__name__
    lacking = [word for word in ("prompt", "num_frames", "generator", "output_type") if word not in known]
    if lacking:
        raise WrongUse(f"{name} makes no video from text: its call takes no {lacking[0]}")
    told = asdict(settings)
    wrong = [called for setting, called in CALLED.items() if told[setting] not in (None, "") and called not in known]
    if wrong or (settings.images and "image" not in known):
        raise WrongUse(f"{name} takes no {wrong[0] if wrong else 'image'}: leave that setting out")
    illustrated = known.get("image", None) is inspect.Parameter.empty or "ImageToVideo" in name
    if illustrated and not settings.images:
        raise WrongUse(f"{name} begins with a picture: add images=FOLDER, with <prompt text>.png for every prompt")
