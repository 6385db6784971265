"""Published models as arms, once their files are fetched and converted: "released:NAME" on the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from salt_bench import words
from salt_bench.errors import UserError, WrongUse
from salt_train.backbones.wan import WanSpec
from salt_train.backbones.wan_image import MASKED, WanImageSpec
from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.image_to_video import ImageToVideo
from salt_train.published import TRANSFORMER
from salt_train.recipe import Recipe, Sampling
from salt_train.released_models import Released, find
from salt_train.setups import wan21

PREFIX = "released:"
FOLDER = Path("runs/released")
"""Where `released:NAME` looks for NAME's folder; `released:NAME@FOLDER` names another."""
I2V = "image-to-video: beside the noise its network reads a picture (36 channels, CLIP's features)"


@dataclass(frozen=True)
class Settings:
    """What a word may say of a released model behind its folder: `pipeline` has VAE and text encoder, and CLIP where videos
    begin with a picture (a folder in diffusers' layout, or a hub's name; "": Wan's own); clips of another length and size than
    its authors'; the folder of the `images` that videos begin with."""

    pipeline: str = ""
    frames: int | None = None
    height: int | None = None
    width: int | None = None
    images: str = ""


def arm(name: str, folder: Path, settings: Settings | None = None) -> Recipe | ImageToVideo:
    """A released model whose converted weights are in `folder`, which says how large the network is, as an arm.

    Raises WrongUse where there is no such model or it cannot be sampled here, UserError where the folder holds another kind."""
    entry, said = find(name), settings or Settings()
    if entry.sampling is None:
        raise WrongUse(f"{name} is not sampled here: {entry.note}; its weights can be inspected and converted")
    if isinstance(entry.network, WanImageSpec):
        return _illustrated(entry, entry.network, entry.sampling, folder, said)
    return _recipe(entry, entry.network, entry.sampling, folder, said)


def _recipe(entry: Released, usual: WanSpec, sampling: Sampling, folder: Path, said: Settings) -> Recipe:
    if said.images:
        raise WrongUse(f"{entry.name} reads captions alone: leave images=… out")
    found = _config(folder)
    if found and found.image:
        raise UserError(f"{folder} is {I2V}; sample it as released:lightx2v-i2v-14b@{folder},images=PICTURES")
    network = found.resized(usual) if found else usual
    base = wan21.released(str(folder), replace(network, timeless=sampling.chunks is not None))
    codec, text = _read_by(entry, said, wan21.SMALL, found)
    try:
        if sampling.chunks:
            sampling.chunks.sizes(codec.shape()[1])
    except ValueError as error:
        raise WrongUse(f"{entry.name}: {error}") from None
    return replace(base, sampling=sampling, codec=codec, text=text)


def _illustrated(entry: Released, usual: WanImageSpec, sampling: Sampling, folder: Path, said: Settings) -> ImageToVideo:
    if not said.images:
        raise WrongUse(
            f"videos of {entry.name} begin with a picture: add images=FOLDER, with <prompt text>.png for every prompt"
        )
    found = _config(folder)
    if found and not found.image:
        raise UserError(f"{folder} holds a network that reads no picture; {entry.fetch(folder)}")
    network = replace(found.resized(usual), image=found.image) if found and found.image else usual
    codec, text = _read_by(entry, said, wan21.ILLUSTRATED, found)
    return ImageToVideo(str(folder), network, codec, text, sampling, said.images)


def _read_by(entry: Released, said: Settings, usual: str, found: Config | None) -> tuple[WanVAE, UMT5]:
    """What reads videos and captions."""
    clip = (own or theirs for own, theirs in zip((said.frames, said.height, said.width), entry.clip, strict=True))
    source = said.pipeline or usual
    try:
        return WanVAE(source, *clip), UMT5(source, found.words) if found else UMT5(source)
    except ValueError as error:
        raise WrongUse(f"{entry.name}: {error}") from None


Spec = TypeVar("Spec", WanSpec, WanImageSpec)


@dataclass(frozen=True)
class Config:
    """The sizes of a network as diffusers' configuration has them; `words` is the width of captions, `image` that of what CLIP
    sees (None: it reads no picture)."""

    width: int
    heads: int
    layers: int
    hidden: int
    frequencies: int
    words: int
    image: int | None

    def resized(self, usual: Spec) -> Spec:
        return replace(
            usual, width=self.width, heads=self.heads, layers=self.layers, hidden=self.hidden, frequencies=self.frequencies
        )


def _config(folder: Path) -> Config | None:
    """The sizes of the network in `folder`; None where nothing says.

    Raises UserError where the configuration is damaged, or the network is one with which no sampler here can do."""
    path = folder / TRANSFORMER / "config.json"
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text())
        heads, head, channels = (said[k] for k in ("num_attention_heads", "attention_head_dim", "in_channels"))
        layers, hidden, waves, words = (said[k] for k in ("num_layers", "ffn_dim", "freq_dim", "text_dim"))
        out, image = said.get("out_channels"), said.get("image_dim")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} does not say how large the network is ({error!r}); convert it again") from None
    if said.get("pos_embed_seq_len") or channels != (2 * out + MASKED if image else out):
        raise UserError(f"{folder} reads other channels or more pictures than Wan 2.1's T2V and I2V: diffusers:… samples it")
    return Config(heads * head, heads, layers, hidden, waves, words, image)


def released_arm(word: str) -> Recipe | ImageToVideo | None:
    """The arm that "released:NAME" or "released:NAME@FOLDER,NAME=VALUE,…" on the command line stands for; None for other words.

    Raises UserError, with what to fetch and how, where the folder holds no converted weights."""
    if not word.startswith(PREFIX):
        return None
    name, _, rest = word.removeprefix(PREFIX).partition("@")
    place, *settings = rest.split(",") if rest else [""]
    if "=" in place:
        place, settings = "", [place, *settings]
    folder = Path(place) if place else FOLDER / name
    made = arm(name, folder, words.parsed(Settings, settings))
    if not any((folder / TRANSFORMER).glob("*.safetensors")):
        raise UserError(f"{word} has no weights in {folder}: {find(name).fetch(folder)}")
    return made
