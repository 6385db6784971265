"""Full-size published models with random weights: "random:self-forcing" on the command line. Weights do not change speed, so
they are a valid subject where the real ones cannot be had; no video of theirs is worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salt_bench import record, words
from salt_bench.errors import WrongUse
from salt_bench.rng import Draws
from salt_bench.types import Live, Log, Prompt, Running, Sampler
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.codecs.umt5 import NEGATIVE
from salt_train.codecs.wan_vae import WanVAE, WanVAEWeights
from salt_train.flow import even
from salt_train.live.ready import checked, live, worded
from salt_train.live.sampler import Reader
from salt_train.recipe import Sampling
from salt_train.released_models import find
from salt_train.setups.wan21 import SHIFT

PREFIX = "random:"
MINIATURE = "miniature"
VOCABULARY, WORDS, TOKENS = 256384, 4096, 512
"""Of UMT5-xxl, as Wan 2.1 uses it."""


@dataclass(frozen=True)
class Settings:
    """What a word may say of it: `steps` evenly spaced noise levels in place of its own, to try a slow model out."""

    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"a model takes at least one step, got steps={self.steps}")


@dataclass(frozen=True)
class Untrained:
    """The sizes, steps and cache of `entry` of the released models; with `miniature`, the same at 64×64 pixels by two narrow
    blocks, for trying out."""

    entry: str
    sampling: Sampling
    miniature: bool = False

    def live(self, seed: int, workdir: Path, running: Running) -> Live:
        dtype = checked(running, self.sampling)
        torch.manual_seed(seed)
        spec, codec = self._network(), self._codec()
        with on(running.device):
            net = Wan(spec, codec.shape(), 16 if self.miniature else WORDS, torch.ones(codec.channels))
            vae = WanVAEWeights(codec, _vae(self.miniature))
        captions = RandomCaptions(self.miniature, running.device, dtype)
        return live(net, vae, Reader(captions, captions.null), worded, self.sampling, running)

    def _network(self) -> WanSpec:
        network = find(self.entry).network
        assert isinstance(network, WanSpec)
        found = replace(network, timeless=self.sampling.chunks is not None)
        return replace(found, width=96, heads=4, layers=2, hidden=192, frequencies=64) if self.miniature else found

    def _codec(self) -> WanVAE:
        frames, height, width = find(self.entry).clip
        return WanVAE("", frames, 64, 64) if self.miniature else WanVAE("", frames, height, width)

    def prepare(self, seed: int, workdir: Path, log: Log) -> bool:
        return False

    def sampler(self, seed: int, workdir: Path) -> Sampler:
        raise WrongUse(f"{PREFIX}{self.entry} has random weights: its speed can be measured, its videos cannot be judged")

    def at(self, grid: tuple[float, ...]) -> Untrained:
        return replace(self, sampling=replace(self.sampling, grid=tuple(grid)))

    def small(self) -> Untrained:
        return replace(self, miniature=True)

    def identity(self, seed: int) -> Mapping[str, Any]:
        return {"random": self.entry, "miniature": self.miniature}

    def protocol(self) -> Mapping[str, Any]:
        return record.dump(self.sampling)

    def evidence(self, seed: int, workdir: Path) -> str:
        return f"{self.entry} with random weights"


class RandomCaptions:
    """A text encoder of UMT5-xxl's size with random weights; every caption has as many tokens as Wan's pads to."""

    def __init__(self, miniature: bool, device: str, dtype: torch.dtype) -> None:
        from transformers import UMT5Config, UMT5EncoderModel

        full: dict[str, Any] = {"d_model": WORDS, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
        tiny: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        self.device, self.tokens, self.vocabulary = device, 6 if miniature else TOKENS, 40 if miniature else VOCABULARY
        config = UMT5Config(vocab_size=self.vocabulary, feed_forward_proj="gated-gelu", **(tiny if miniature else full))
        with on(device, dtype):
            self.encoder = UMT5EncoderModel(config).requires_grad_(False).eval()

    def __call__(self, prompt: Prompt) -> Tensor:
        """(1, tokens, words)."""
        drawn = Draws(0)("caption", prompt.text).normal((1, self.tokens))
        ids = torch.from_numpy((np.abs(drawn) * 1e6).astype(np.int64) % self.vocabulary).to(self.device)
        return self.encoder(ids, torch.ones_like(ids)).last_hidden_state

    def null(self, like: Tensor) -> Tensor:
        """The negative caption, shaped like `like`."""
        return self(Prompt("", NEGATIVE, "")).expand_as(like)


def _vae(miniature: bool) -> Any:
    from diffusers import AutoencoderKLWan

    made: Any = AutoencoderKLWan(base_dim=4, z_dim=16, num_res_blocks=1) if miniature else AutoencoderKLWan()
    return made.requires_grad_(False).eval()


@contextmanager
def on(device: str, dtype: torch.dtype = torch.float32) -> Iterator[None]:
    """Inside, new tensors are made there and so."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def untrained_arm(word: str) -> Untrained | None:
    """The arm that "random:NAME" or "random:NAME@steps=4,miniature" on the command line stands for; None for any other word.

    Raises WrongUse for a model that there is not, or that cannot be sampled here."""
    if not word.startswith(PREFIX):
        return None
    name, _, rest = word.removeprefix(PREFIX).partition("@")
    settings, entry = rest.split(",") if rest else [], find(name)
    if entry.sampling is None:
        raise WrongUse(f"{entry.name} is not sampled here: {entry.note}")
    if not isinstance(entry.network, WanSpec):
        raise WrongUse(f"speed is measured of models that read captions alone, and videos of {entry.name} begin with a picture")
    made = Untrained(entry.name, entry.sampling, MINIATURE in settings)
    said = words.parsed(Settings, [setting for setting in settings if setting != MINIATURE])
    return made if said.steps is None else made.at(even(said.steps, SHIFT))
