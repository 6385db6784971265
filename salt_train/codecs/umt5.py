"""Captions as Wan 2.1 reads them: UMT5, 512 tokens, what pads them set to zero."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from salt_bench.types import Prompt
from salt_train import published

NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，"
    "倒着走"
)
"""The caption of Wan's own unconditional prediction."""


@dataclass(frozen=True)
class UMT5:
    """The text encoder and tokenizer of a pipeline folder, and the width of its embeddings."""

    source: str
    words: int = 4096
    tokens: int = 512


@dataclass(frozen=True, eq=False)
class UMT5Captions:
    """Prompts to (B, tokens, words); every caption is read once."""

    spec: UMT5
    world: Any
    known: dict[str, Tensor] = field(default_factory=dict)

    @property
    def words(self) -> int:
        return self.spec.words

    def __call__(self, prompts: Sequence[Prompt]) -> Tensor:
        return torch.stack([self._read(prompt.text) for prompt in prompts])

    def null(self, like: Tensor) -> Tensor:
        """The embedding of the negative caption, shaped like `like`."""
        return self._read(NEGATIVE).expand_as(like)

    @cached_property
    def _network(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, UMT5EncoderModel

        tokenizer = published.load(AutoTokenizer, self.spec.source, published.TOKENIZER)
        encoder = published.load(UMT5EncoderModel, self.spec.source, published.TEXT, use_safetensors=True)
        return tokenizer, encoder.requires_grad_(False).eval()

    def move(self, device: str, dtype: torch.dtype) -> None:
        """Where the encoder computes, and in what."""
        self._network[1].to(device=device, dtype=dtype)

    def _read(self, text: str) -> Tensor:
        if text not in self.known:
            self.known[text] = self.encode(text)
        return self.known[text]

    def encode(self, text: str) -> Tensor:
        """(tokens, words) float32, zero behind the caption's end; computed anew, where the encoder is."""
        tokenizer, encoder = self._network
        read = tokenizer(
            [tidy(text)], padding="max_length", max_length=self.spec.tokens, truncation=True, return_tensors="pt"
        ).to(encoder.device)
        with torch.no_grad():
            found = encoder(read.input_ids, read.attention_mask).last_hidden_state[0].float()
        return found * read.attention_mask[0, :, None]


def tidy(text: str) -> str:
    """HTML entities resolved (twice, as Wan's own pipeline does), white space made single."""
    return " ".join(html.unescape(html.unescape(text)).split())
