"""Codecs: frames to latents and back, captions to embeddings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import overload

from salt_bench import files, record
from salt_bench.worlds.base import World
from salt_train import checkpoint
from salt_train.codecs import pca, wan_vae
from salt_train.codecs.captions import Captions
from salt_train.codecs.umt5 import UMT5, UMT5Captions
from salt_train.prompt_file import PromptFile

Fitted = pca.PCAWeights | wan_vae.WanVAEWeights


@overload
def fitted(codec: pca.PCACodec, root: Path) -> pca.PCAWeights: ...
@overload
def fitted(codec: wan_vae.WanVAE, root: Path) -> wan_vae.WanVAEWeights: ...
@overload
def fitted(codec: pca.PCACodec | wan_vae.WanVAE, root: Path) -> Fitted: ...
def fitted(codec: pca.PCACodec | wan_vae.WanVAE, root: Path) -> Fitted:
    """The codec's numbers: shipped with the package, or fitted once under `root`; a published VAE's are read."""
    return _fitted(codec, root.resolve())


def captions(world: World | PromptFile, text: UMT5 | None) -> Captions | UMT5Captions:
    """What reads captions: the world's own slots, or a text encoder where captions are words alone."""
    if text is not None:
        return UMT5Captions(text, world)
    if isinstance(world, PromptFile):
        raise ValueError(f"the captions of {world.path} are words: give the recipe a `text` encoder")
    return Captions(world)


@lru_cache(maxsize=4)
def _fitted(codec: pca.PCACodec | wan_vae.WanVAE, root: Path) -> Fitted:
    if isinstance(codec, wan_vae.WanVAE):
        return wan_vae.load(codec)
    name = f"codec-{record.fingerprint(codec)}.safetensors"
    shipped, made = checkpoint.PRETRAINED / name, root / name
    if shipped.is_file():
        return pca.load(codec, shipped)
    with files.lock(root / f".{name}.lock"):
        if not made.is_file():
            files.write_bytes(made, pca.fit(codec).bytes())
    return pca.load(codec, made)
