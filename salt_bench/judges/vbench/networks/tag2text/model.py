"""The whole network: pictures to tags, tags to sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.bert import Memory
from salt_bench.judges.vbench.networks.tag2text.beam import Rule, search
from salt_bench.judges.vbench.networks.tag2text.swin import Swin
from salt_bench.judges.vbench.networks.tag2text.text import Bert, Decoder, Tagger

SURE = 0.7
SUPPRESSED = (127, 3265, 3338, 3351, 3355, 3359)
"""Tags that are never said, by number."""
TAG_LAYERS = 2
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Shape:
    """What a checkpoint's tensors say of its network. The released one is the default."""

    embed: int = 128
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    window: int = 12
    tags: int = 3429
    vocabulary: int = 30524
    places: int = 512
    encoder_depth: int = 12
    decoder_depth: int = 12
    text_width: int = 768
    text_heads: int = 12
    text_inner: int = 3072

    @property
    def picture(self) -> int:
        """Width of the picture's tokens."""
        return self.embed << (len(self.depths) - 1)


class Tag2Text(nn.Module):
    """The attributes are named as in the released file."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        text = (shape.text_width, shape.text_heads, shape.text_inner)
        words = (shape.vocabulary, shape.places)
        self.visual_encoder = Swin(shape.embed, shape.depths, shape.heads, shape.window)
        self.tag_encoder = Bert(*words, shape.encoder_depth, *text, shape.picture)
        self.text_decoder = Decoder(*words, shape.decoder_depth, *text)
        self.label_embed = nn.Embedding(shape.tags, shape.text_width)
        self.fc = Tagger(shape.tags, shape.text_width)

    @torch.inference_mode()
    def look(self, frames: Tensor) -> Tensor:
        """RGB frames (B, 3, H, W), 0 to 1, to the picture's tokens (B, n, width)."""
        mean, deviation = (frames.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
        return self.visual_encoder((frames - mean) / deviation)

    @torch.inference_mode()
    def tags(self, picture: Tensor) -> list[list[int]]:
        """Which tags are there, in their order."""
        logits = self.fc(self.label_embed.weight, self.tag_encoder.encoder.layer[:TAG_LAYERS], picture)
        return [[tag for tag in row.nonzero().flatten().tolist() if tag not in SUPPRESSED] for row in logits.sigmoid() > SURE]

    @torch.inference_mode()
    def say(self, picture: Tensor, tags: Tensor, there: Tensor, prompt: Sequence[int], end: int, rule: Rule) -> list[list[int]]:
        """Sentences about pictures whose tags are the tokens (B, T), `there` False where they are filled up."""
        seen = self.text_decoder.read(self.tag_encoder.encode(tags, there, picture))

        def step(tokens: Tensor, start: int, past: Sequence[Memory] | None) -> tuple[Tensor, list[Memory]]:
            return self.text_decoder(tokens, start, seen, past)

        return search(step, prompt, len(tags), end, rule, str(tags.device))
