"""Codecs: frames to latents and back."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from salt_bench import files, record
from salt_train import checkpoint
from salt_train.codecs import pca


def fitted(codec: pca.PCACodec, root: Path) -> pca.PCAWeights:
    """The codec's numbers: shipped with the package, or fitted once under `root`."""
    return _fitted(codec, root.resolve())


@lru_cache(maxsize=4)
def _fitted(codec: pca.PCACodec, root: Path) -> pca.PCAWeights:
    name = f"codec-{record.fingerprint(codec)}.safetensors"
    shipped, made = checkpoint.PRETRAINED / name, root / name
    if shipped.is_file():
        return pca.load(codec, shipped)
    with files.lock(root / f".{name}.lock"):
        if not made.is_file():
            files.write_bytes(made, pca.fit(codec).bytes())
    return pca.load(codec, made)
