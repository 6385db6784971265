"""The files of a pipeline of diffusers: where they lie, what they are, and the pipeline itself, from safetensors alone."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salt_bench import files, record
from salt_bench.errors import UserError, WrongUse, words_of
from salt_bench.samplers.pipeline_settings import DTYPES, Settings, check

if TYPE_CHECKING:
    import torch

INDEX = "model_index.json"
WEIGHTS = (".safetensors", ".json", ".model")
"""What a pipeline is made of: numbers, configurations, tokenizers."""


def folder(source: str) -> Path | None:
    """Where the files of `source` lie; None for a hub's name whose files were not fetched yet."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(source, local_files_only=True))
    except Exception:  # a hub says in many ways that something is not there
        return None
    return found if (found / INDEX).is_file() else None


def fetch(source: str) -> Path:
    from diffusers import DiffusionPipeline

    with explained(source):
        return Path(DiffusionPipeline.download(source, use_safetensors=True))


def evidence(places: Sequence[Path]) -> str:
    """A digest of all that a pipeline in these folders is made of."""
    return record.fingerprint([files.folder_digest(place, WEIGHTS) for place in places])


@functools.lru_cache(maxsize=1)
def loaded(source: str, settings: Settings) -> Any:
    """The pipeline on its device, silent. Only the last one is kept: each may be tens of gigabytes."""
    import torch
    from diffusers.utils import logging
    from transformers.utils import logging as other_logging

    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise WrongUse(f"device={settings.device} needs a GPU that torch can use, and there is none: use device=cpu")
    place = folder(source) or fetch(source)
    kind: Any = _class(place / INDEX)  # its own class: the base class does not see a transformer that is handed over
    check(kind, settings)
    dtype = getattr(torch, DTYPES[settings.dtype])
    other = {"transformer": _transformer(Path(settings.transformer), dtype)} if settings.transformer else {}
    dtypes = {"vae": torch.float32, "default": dtype}
    for noisy in (logging, other_logging):
        noisy.disable_progress_bar()
    with explained(source):
        found: Any = kind.from_pretrained(place, dtype=dtypes, use_safetensors=True, **other)
    found.set_progress_bar_config(disable=True)
    return found.to(settings.device)


def _transformer(place: Path, dtype: torch.dtype) -> Any:
    """The network in `place`/transformer, of the class that its configuration names."""
    kind: Any = _class(place / "transformer" / "config.json")
    with explained(str(place)):
        return kind.from_pretrained(place, subfolder="transformer", dtype=dtype, use_safetensors=True)


def _class(config: Path) -> type:
    """The class of diffusers that a configuration names. Raises UserError where it is damaged or names another."""
    import diffusers

    try:
        name = json.loads(config.read_text())["_class_name"]
        return getattr(diffusers, name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{config} names no class of this version of diffusers ({words_of(error)})") from None


@contextmanager
def explained(source: str) -> Iterator[None]:
    """Whatever a library raises about missing or damaged files, in one line."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{source} cannot be read as a pipeline: {words_of(error)}; fetch it again, or name another") from error
