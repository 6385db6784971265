"""Captions as Wan 2.1 reads them: UMT5, 512 tokens, what pads them set to zero."""

from __future__ import annotations

import html
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from salt_bench import record
from salt_bench.types import Prompt
from salt_train import published
from salt_train.codecs.store import Store, key

RECENT = 256
"""How many captions are kept in memory."""

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

    def __post_init__(self) -> None:
        record.at_least(self, words=1, tokens=1)


@dataclass(frozen=True, eq=False)
class UMT5Captions:
    """Prompts to (B, tokens, words). A caption is encoded once for all runs: what was read is kept on disk (`store`), about a
    megabyte each, and the encoder, 11 GB, is in memory only while there is something new to read."""

    spec: UMT5
    world: Any
    known: OrderedDict[str, Tensor] = field(default_factory=OrderedDict)
    store: Store = field(default_factory=lambda: Store("captions"))

    @property
    def words(self) -> int:
        return self.spec.words

    def __call__(self, prompts: Sequence[Prompt]) -> Tensor:
        return torch.stack([self._padded(self._read(prompt.text)) for prompt in prompts])

    def null(self, like: Tensor) -> Tensor:
        """The embedding of the negative caption, shaped like `like`."""
        return self._padded(self._read(NEGATIVE)).expand_as(like)

    def ready(self, prompts: Sequence[Prompt], done: Callable[[float], None] = lambda share: None) -> int:
        """Reads all captions of `prompts`, and the negative one, so that the encoder can go: how many were new."""
        texts = dict.fromkeys([NEGATIVE, *(part.text for prompt in prompts for _, part in self.world.parts(prompt))])
        new = [text for text in texts if not self.store.has(self._key(text))]
        for count, text in enumerate(new, start=1):
            self.store.put(self._key(text), self._encode(tidy(text)))
            done(count / len(new))
        vars(self).pop("_network", None)
        return len(new)

    @cached_property
    def _network(self) -> tuple[Any, Any]:
        from transformers import AutoTokenizer, UMT5EncoderModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # it would tear our own
        tokenizer = published.load(AutoTokenizer, self.spec.source, published.TOKENIZER)
        encoder = published.load(UMT5EncoderModel, self.spec.source, published.TEXT, use_safetensors=True)
        return tokenizer, encoder.requires_grad_(False).eval()

    def move(self, device: str, dtype: torch.dtype) -> None:
        """Where the encoder computes, and in what."""
        self._network[1].to(device=device, dtype=dtype)

    def encode(self, text: str) -> Tensor:
        """(tokens, words) float32, zero behind the caption's end; computed anew, where the encoder is."""
        return self._padded(self._encode(tidy(text)))

    @cached_property
    def _weights(self) -> str:
        return published.digest(self.spec.source, published.TEXT) + published.digest(self.spec.source, published.TOKENIZER)

    def _key(self, text: str) -> str:
        return key(tidy(text), self._weights, str(self.spec.tokens))

    def _read(self, text: str) -> Tensor:
        """(n, words), n ≤ tokens, without what pads it; as precise as the encoder."""
        if text not in self.known:
            self.known[text] = self._kept(text)
        self.known.move_to_end(text)
        while len(self.known) > RECENT:
            self.known.popitem(last=False)
        return self.known[text]

    def _kept(self, text: str) -> Tensor:
        name = self._key(text)
        found = self.store.get(name)
        if found is None:
            found = self._encode(tidy(text))
            self.store.put(name, found)
        return found

    def _encode(self, text: str) -> Tensor:
        tokenizer, encoder = self._network
        read = tokenizer([text], padding="max_length", max_length=self.spec.tokens, truncation=True, return_tensors="pt")
        read = read.to(encoder.device)
        with torch.no_grad():
            found: Tensor = encoder(read.input_ids, read.attention_mask).last_hidden_state[0]
        return found[: int(read.attention_mask.sum())].clone()

    def _padded(self, found: Tensor) -> Tensor:
        """(tokens, words) float32, zero behind the caption's end."""
        return torch.nn.functional.pad(found.float(), (0, 0, 0, self.spec.tokens - len(found)))


def tidy(text: str) -> str:
    """HTML entities resolved (twice, as Wan's own pipeline does), white space made single."""
    return " ".join(html.unescape(html.unescape(text)).split())
