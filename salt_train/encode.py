"""`salt-train encode`: captions are read once, before a training that then needs no text encoder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to `salt-train`."""
    app.command()(encode)


def encode(
    prompts: Annotated[Path, typer.Argument(help="A text file, one caption per line.", show_default=False)],
    pipeline: Annotated[
        str, typer.Option(help="Whose text encoder and tokenizer: a folder in diffusers' layout, or a hub's name.")
    ] = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    tokens: Annotated[int, typer.Option(min=1, help="What a caption is padded to.")] = 512,
) -> None:
    """Read the captions of PROMPTS with a text encoder and keep them in $SALT_CACHE/captions, about a megabyte each.

    Whoever trains or samples on them later loads no text encoder (11 GB). Stop it at any time: the same command goes on."""
    from salt_bench import files
    from salt_train.codecs.umt5 import UMT5, UMT5Captions
    from salt_train.launch import bar
    from salt_train.prompt_file import PromptFile

    world = PromptFile(str(prompts))
    captions, asked = UMT5Captions(UMT5(pipeline, tokens=tokens), world), world.prompts("train")
    with bar("captions", quiet=not sys.stderr.isatty()) as log:
        new = captions.ready(asked, lambda share: log("captions", share))
    texts = len({prompt.text for prompt in asked})
    print(f"{texts} captions and the negative one are in {files.cache() / captions.store.kind}; {new} of them are new")
