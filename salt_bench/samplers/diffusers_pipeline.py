"""Any text-to-video or image-to-video pipeline of diffusers as an arm: `diffusers:FOLDER_OR_HUB_NAME@steps=4,guidance=1`."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from salt_bench import files, record, words
from salt_bench.errors import UserError, WrongUse
from salt_bench.rng import Draws
from salt_bench.types import ArrayClip, Clip, Log, Prompt

if TYPE_CHECKING:
    import torch

PREFIX = "diffusers:"
INDEX = "model_index.json"
HUB = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = (".safetensors", ".json", ".model")
"""What a pipeline is made of: numbers, configurations, tokenizers."""
IMAGES = (".png", ".jpg", ".jpeg", ".webp")
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
DENOISERS = ("transformer", "unet")
"""How the components begin whose evaluations count."""
CLOCKS = ("frame_rate", "fps")
"""What a call has for frames per second."""
RATES = {"Wan": 16.0, "AnyFlow": 16.0}
"""Frames per second of those whose call does not know any, by how their class's name begins."""
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


@dataclass(frozen=True)
class DiffusersPipeline:
    """A pipeline as it is published: nothing is trained, and a grid changes nothing, since its scheduler makes its own.

    `source` is a folder in diffusers' layout or a hub's name. Weights are read from safetensors alone."""

    source: str
    settings: Settings = field(default_factory=Settings)

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        """Fetches a pipeline that a hub's name stands for."""
        if _folder(self.source):
            return False
        _fetch(self.source)
        return True

    def sampler(self, seed: int, workdir: Path) -> PipelineSampler:
        return PipelineSampler(_loaded(self.source, self.settings), self.settings)

    def at(self, grid: tuple[float, ...]) -> DiffusersPipeline:
        return self

    def small(self) -> DiffusersPipeline:
        return self

    def protocol(self) -> Mapping[str, Any]:
        """All settings but where it runs; first frames count by what they show, not by where they lie."""
        said = {name: value for name, value in asdict(self.settings).items() if value not in (None, "")}
        pictures = {"images": _digest(Path(self.settings.images), IMAGES)} if self.settings.images else {}
        return {name: value for name, value in said.items() if name not in ("device", "transformer")} | pictures

    def identity(self, seed: int) -> Mapping[str, Any]:
        """The files themselves where they are there; where they lie says nothing about them."""
        return {"pipeline": self.evidence(seed, Path()) or self.source}

    def evidence(self, seed: int, workdir: Path) -> str:
        own, other = _folder(self.source), self.settings.transformer
        if own is None:
            return ""
        return record.fingerprint([_digest(place, WEIGHTS) for place in (own, *([Path(other)] if other else []))])


def pipeline_arm(word: str) -> DiffusersPipeline | None:
    """The arm that "diffusers:SOURCE" or "diffusers:SOURCE@NAME=VALUE,…" on the command line stands for; None for other words.

    Raises WrongUse for a setting that there is none of, UserError where the folder holds no pipeline."""
    if not word.startswith(PREFIX):
        return None
    source, settings = words.split(word.removeprefix(PREFIX))
    if not (Path(source) / INDEX).is_file() and (Path(source).exists() or not HUB.fullmatch(source)):
        raise UserError(f"{source or word} holds no {INDEX}: name a pipeline's folder in diffusers' layout, or a hub's name")
    return DiffusersPipeline(source, words.parsed(Settings, settings))


# -------------------------------------------------------------------------------------------------------------- sampling


@dataclass(frozen=True, eq=False)
class PipelineSampler:
    """Asks a pipeline for one prompt at a time, so that a clip does not depend on its batch. All noise of a clip is named by
    its sample seed and prompt; Wan's latents begin as every other sampler's of Wan do. `nfe` is counted, not computed."""

    pipeline: Any
    settings: Settings

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> Iterator[Clip]:
        for prompt in prompts:
            yield self._clip(prompt, seed)

    @functools.cached_property
    def takes(self) -> dict[str, Any]:
        """What the pipeline's call takes → its default there."""
        return _takes(type(self.pipeline))

    @property
    def fps(self) -> float:
        """Frames per second: as asked, as the pipeline's call has it, or as its makers say."""
        own = next((float(self.takes[name]) for name in CLOCKS if self.takes.get(name)), None)
        name = type(self.pipeline).__name__
        said = self.settings.fps or own or next((rate for head, rate in RATES.items() if name.startswith(head)), None)
        if said is None:
            raise WrongUse(f"{name} does not say how fast its videos run: add fps=… to the settings")
        return said

    def _clip(self, prompt: Prompt, seed: int) -> ArrayClip:
        import torch

        draws, fps = Draws(seed)("sample", prompt.id), self.fps
        generator = torch.Generator("cpu").manual_seed(draws("pipeline").choice(2**62))
        asked = {"prompt": prompt.text, "generator": generator, "output_type": "np"} | self._called()
        with torch.inference_mode(), _counting(self.pipeline) as count:
            frames = self._frames(asked | self._noise(draws) | self._first(prompt))
        return ArrayClip(prompt, seed, np.round(np.clip(frames, 0, 1) * 255).astype(np.uint8), fps, sum(count))

    def _frames(self, asked: Mapping[str, Any]) -> np.ndarray:
        """Floats (T, H, W, C) in [0, 1]."""
        try:
            found: np.ndarray = self.pipeline(**asked).frames[0]
        except (ValueError, TypeError) as error:
            raise UserError(f"{type(self.pipeline).__name__} refuses what it is asked: {_line(error)}") from error
        return found

    def _called(self) -> dict[str, Any]:
        """The settings under the names that the pipeline has for them."""
        told = asdict(self.settings)
        clock = {name: told["fps"] for name in CLOCKS if name in self.takes and told["fps"]}
        return {called: told[name] for name, called in CALLED.items() if told[name] not in (None, "")} | clock

    def _noise(self, draws: Draws) -> dict[str, Any]:
        """Wan's first latents (1, C, F, H, W); what other pipelines draw comes from the generator."""
        import torch

        if type(self.pipeline).__name__ != "WanPipeline":
            return {}
        frames, height, width = (getattr(self.settings, n) or self.takes[CALLED[n]] for n in ("frames", "height", "width"))
        time, space = self.pipeline.vae_scale_factor_temporal, self.pipeline.vae_scale_factor_spatial
        if frames % time != 1:
            raise WrongUse(f"Wan's clips have {time}n + 1 frames, got frames={frames}")
        shape = (self.pipeline.transformer.config.in_channels, (frames - 1) // time + 1, height // space, width // space)
        return {"latents": torch.from_numpy(draws("noise").normal(shape))[None]}

    def _first(self, prompt: Prompt) -> dict[str, Any]:
        """The picture that a video begins with, where the pipeline wants one."""
        from PIL import Image

        if not self.settings.images:
            return {}
        return {"image": Image.open(picture(Path(self.settings.images), prompt)).convert("RGB")}


def picture(folder: Path, prompt: Prompt) -> Path:
    """The first frame of a prompt's video: the file that its suite names, or one that is named by its text.

    Raises UserError where there is none."""
    stems = [folder / f"{prompt.text}{suffix}" for suffix in IMAGES]
    named = [folder / prompt.factors["image"]] if "image" in prompt.factors else []
    found = next((path for path in (*named, *stems) if path.is_file()), None)
    if found is None:
        raise UserError(f"{folder} holds no first frame of {prompt.text!r}: add {stems[0].name}, or name another images=…")
    return found


@contextmanager
def _counting(pipeline: Any) -> Iterator[list[int]]:
    """A list that grows by the batch of every evaluation of a network that denoises."""
    count: list[int] = []

    def seen(_module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        count.append(len(named["hidden_states"] if "hidden_states" in named else args[0]))

    nets = [net for name, net in pipeline.components.items() if name.startswith(DENOISERS) and net is not None]
    hooks = [net.register_forward_pre_hook(seen, with_kwargs=True) for net in nets]
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()


# --------------------------------------------------------------------------------------------------------------- loading


def _takes(kind: type) -> dict[str, Any]:
    """Parameter → default of a pipeline's call; `REQUIRED` where it has none."""
    return {name: p.default for name, p in inspect.signature(kind.__call__).parameters.items()}


def check(kind: type, settings: Settings) -> None:
    """Raises WrongUse where pipelines of a `kind` make no videos from text, or take none of what is set."""
    takes, name = _takes(kind), kind.__name__
    lacking = [word for word in ("prompt", "num_frames", "generator", "output_type") if word not in takes]
    if lacking:
        raise WrongUse(f"{name} makes no video from text: its call takes no {lacking[0]}")
    told = asdict(settings)
    wrong = [called for setting, called in CALLED.items() if told[setting] not in (None, "") and called not in takes]
    if wrong or (settings.images and "image" not in takes):
        raise WrongUse(f"{name} takes no {wrong[0] if wrong else 'image'}: leave that setting out")
    illustrated = takes.get("image", None) is inspect.Parameter.empty or "ImageToVideo" in name
    if illustrated and not settings.images:
        raise WrongUse(f"{name} begins with a picture: add images=FOLDER, with <prompt text>.png for every prompt")


def _folder(source: str) -> Path | None:
    """Where the files of `source` lie; None for a hub's name whose files were not fetched yet."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(source, local_files_only=True))
    except Exception:  # a hub says in many ways that something is not there
        return None
    return found if (found / INDEX).is_file() else None


def _fetch(source: str) -> Path:
    from diffusers import DiffusionPipeline

    with _explained(source):
        return Path(DiffusionPipeline.download(source, use_safetensors=True))


def _digest(folder: Path, suffixes: tuple[str, ...]) -> str:
    """Names and bytes of the files under `folder` that end in one of `suffixes`."""
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: name one that is there")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return record.fingerprint({str(path.relative_to(folder)): files.known_digest(path) for path in found})


@functools.lru_cache(maxsize=1)
def _loaded(source: str, settings: Settings) -> Any:
    """The pipeline on its device, silent. Only the last one is kept: each may be tens of gigabytes."""
    import torch
    from diffusers.utils import logging
    from transformers.utils import logging as other_logging

    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise WrongUse(f"device={settings.device} needs a GPU that torch can use, and there is none: use device=cpu")
    place = _folder(source) or _fetch(source)
    kind: Any = _class(place / INDEX)  # its own class: the base class does not see a transformer that is handed over
    check(kind, settings)
    dtype = getattr(torch, DTYPES[settings.dtype])
    other = {"transformer": _transformer(Path(settings.transformer), dtype)} if settings.transformer else {}
    dtypes = {"vae": torch.float32, "default": dtype}
    for noisy in (logging, other_logging):
        noisy.disable_progress_bar()
    with _explained(source):
        found: Any = kind.from_pretrained(place, dtype=dtypes, use_safetensors=True, **other)
    found.set_progress_bar_config(disable=True)
    return found.to(settings.device)


def _transformer(folder: Path, dtype: torch.dtype) -> Any:
    """The network in `folder`/transformer, of the class that its configuration names."""
    kind: Any = _class(folder / "transformer" / "config.json")
    with _explained(str(folder)):
        return kind.from_pretrained(folder, subfolder="transformer", dtype=dtype, use_safetensors=True)


def _class(config: Path) -> type:
    """The class of diffusers that a configuration names. Raises UserError where it is damaged or names another."""
    import diffusers

    try:
        name = json.loads(config.read_text())["_class_name"]
        return getattr(diffusers, name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{config} names no class of this version of diffusers ({_line(error)})") from None


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Whatever a library raises about missing or damaged files, in one line."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{source} cannot be read as a pipeline: {_line(error)}; fetch it again, or name another") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
