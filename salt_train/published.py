"""Published networks in diffusers' layout: a folder, or a hub's name where one can be reached. Safetensors only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import nn

from salt_bench import files
from salt_bench.errors import UserError, words_of
from salt_train import weights
from salt_train.weights import Stored

TRANSFORMER, TEXT, TOKENIZER, VAE = "transformer", "text_encoder", "tokenizer", "vae"
CONVERSION = "conversion.json"
"""Beside the parts of a folder that `salt-train convert` made: where its weights come from, and their digests."""


def load(kind: Any, source: str, part: str, **options: Any) -> Any:
    """`kind.from_pretrained` of one part of a pipeline.

    Raises UserError, in one line, where it is not there or is damaged."""
    try:
        return kind.from_pretrained(source, subfolder=part, **options)
    except Exception as error:
        raise UserError(_missing(source, part, error)) from None


def fill(net: nn.Module, source: str) -> None:
    """Gives the backbone `net` the published transformer of `source`.

    Raises UserError where it is missing, damaged or another network."""
    weights.load(net.state_dict(), stored(source))


def stored(source: str) -> Stored:
    """The published transformer of `source`, to be read tensor by tensor.

    Raises UserError where it is missing; later on, where it is damaged or another network."""

    def misfit(why: str) -> UserError:
        return UserError(f"{source} is another network: {why}")

    return Stored(_files(source), misfit, _damaged, prefix="net.")


def digest(source: str, part: str = TRANSFORMER) -> str:
    """What a measurement rests on: names and bytes of a part's files, and where a conversion says that they come from."""
    found = _files(source, part)
    marks = [f"{path.name} {files.known_digest(path)}" for path in found]
    record = found[0].parent.parent / CONVERSION
    marks += [record.read_text()] if record.is_file() and part == TRANSFORMER else []
    return hashlib.sha256("\n".join(marks).encode()).hexdigest()[:12]


def _files(source: str, part: str = TRANSFORMER) -> list[Path]:
    """The files of a part, its weights alone where it has weights; fetched once where `source` is a hub's name."""
    folder = Path(source)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(source, allow_patterns=[f"{part}/*"]))
        except Exception as error:
            raise UserError(_missing(source, part, error)) from None
    found = sorted((folder / part).glob("*" if part == TOKENIZER else "*.safetensors"))
    if not found:
        raise UserError(_missing(source, part, "it holds no .safetensors file" if part != TOKENIZER else "it is empty"))
    return found


def _damaged(path: Path, error: object) -> UserError:
    return UserError(f"{path} is truncated or damaged ({error}); fetch it again")


def _missing(source: str, part: str, why: object) -> str:
    return f"no {part} of {source}: {words_of(why)}; name a folder in diffusers' layout, or a hub's name"
