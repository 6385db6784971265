"""Pictures as Wan 2.1's image-to-video networks read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from salt_bench.errors import UserError
from salt_train import published
from salt_train.backbones.wan_image import MASKED, Picture
from salt_train.codecs.wan_vae import WanVAEWeights

ENCODER, PROCESSOR = "image_encoder", "image_processor"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Files to what the network is told of them, as the parts of the pipeline `source` read them. Whatever its shape, a picture
    is stretched to that of the codec's clips, as diffusers' pipeline does: cut it first."""

    source: str
    codec: WanVAEWeights

    def __call__(self, path: Path) -> Picture:
        """Raises UserError where the file is no picture."""
        try:
            image = Image.open(path).convert("RGB")
        except OSError as error:
            raise UserError(f"{path} is no picture that can be read ({error}); make it again") from None
        return Picture(self._latents(image)[None], self._seen(image))

    def _latents(self, image: Image.Image) -> Tensor:
        """(4 + C, F, H, W): the mask, 1 where a frame is known, and the latents of a clip that begins with the picture."""
        size = self.codec.codec
        stretched = image.resize((size.width, size.height), Image.Resampling.LANCZOS)
        latents = self.codec.beginning(torch.from_numpy(np.asarray(stretched).copy()))
        mask = latents.new_zeros(MASKED, *latents.shape[1:])
        mask[:, 0] = 1
        return torch.cat([mask, latents])

    def _seen(self, image: Image.Image) -> Tensor:
        """(1, tokens, width): CLIP's last layer but one."""
        processor, encoder = self._network
        with torch.no_grad():
            said = encoder(processor(images=image, return_tensors="pt").pixel_values, output_hidden_states=True)
        seen: Tensor = said.hidden_states[-2]
        return seen

    @cached_property
    def _network(self) -> tuple[Any, Any]:
        from transformers import CLIPImageProcessor, CLIPVisionModel

        processor = published.load(CLIPImageProcessor, self.source, PROCESSOR)
        encoder = published.load(CLIPVisionModel, self.source, ENCODER, use_safetensors=True)
        return processor, encoder.requires_grad_(False).eval()
