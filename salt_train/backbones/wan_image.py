"""Wan 2.1's image-to-video network: the stock class of diffusers, all frames at once, with a picture beside the caption.

Beside the noise it reads, frame by frame, a mask and the latents of a clip that begins with the picture (36 channels = 16 + 4
+ 16), and beside the caption, with keys and values of its own in every block, what CLIP sees in the picture (257 tokens of
1280 numbers). It is sampled and compared here, not trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from salt_train.backbones.base import Backbone, Causal, Output
from salt_train.caches.base import CachePolicy

MASKED = 4
"""Channels of the mask: one for each frame of a latent frame."""


@dataclass(frozen=True)
class WanImageSpec:
    """Sizes; `image` is the width of what CLIP sees."""

    width: int = 5120
    heads: int = 40
    layers: int = 40
    hidden: int = 13824
    patch: tuple[int, int, int] = (1, 2, 2)
    frequencies: int = 256
    image: int = 1280

    def build(self, channels: int, words: int) -> WanImage:
        return WanImage(self, channels, words)


@dataclass(frozen=True, eq=False)
class Picture:
    """What the network is told of the first frame: `latents` (B, 4 + C, F, H, W), the mask and behind it the latents of a clip
    that begins with it, and `features` (B, tokens, image), what CLIP sees."""

    latents: Tensor
    features: Tensor


class WanImage(nn.Module):
    """The weights; with a picture they are a backbone."""

    def __init__(self, spec: WanImageSpec, channels: int, words: int) -> None:
        super().__init__()
        from diffusers import WanTransformer3DModel

        net: Any = WanTransformer3DModel(
            patch_size=spec.patch,
            num_attention_heads=spec.heads,
            attention_head_dim=spec.width // spec.heads,
            in_channels=2 * channels + MASKED,
            out_channels=channels,
            text_dim=words,
            freq_dim=spec.frequencies,
            ffn_dim=spec.hidden,
            num_layers=spec.layers,
            image_dim=spec.image,
            added_kv_proj_dim=spec.width,
        )
        self.net = net

    def beginning(self, picture: Picture) -> Illustrated:
        """The velocity field of videos that begin with `picture`."""
        return Illustrated(self.net, picture)


class Illustrated(Backbone):
    """A network and the pictures of its videos. A batch may hold every video several times over, as guidance does."""

    def __init__(self, net: Any, picture: Picture) -> None:
        super().__init__()
        self.net, self.picture = net, picture
        self.std = torch.ones(1)

    def forward(
        self, x: Tensor, sigma: Tensor, cond: Tensor, cache: Any = None, tap: int = -1, causal: Causal | None = None
    ) -> Output:
        if cache is not None or causal is not None or tap >= 0:
            self._refuse()
        times = len(x) // len(self.picture.latents)
        latents, features = (torch.cat([t] * times) for t in (self.picture.latents, self.picture.features))
        (velocity,) = self.net(torch.cat([x, latents], 1), sigma * 1000, cond, features, return_dict=False)
        return Output(velocity)

    def begin(self, cond: Tensor, policy: CachePolicy) -> NoReturn:
        self._refuse()

    def remember(self, x: Tensor, cond: Tensor, cache: Any, sigma: float = 0.0) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError("Wan's image-to-video network makes all frames at once: sample it without chunks, cache and tap")
