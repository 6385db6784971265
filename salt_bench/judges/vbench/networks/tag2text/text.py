"""The text half of Tag2Text: what is in the picture, as tags; tags and picture together; a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.bert import EPS, CrossLayer, Memory, causal
from salt_bench.judges.vbench.networks.linear import Linear

TAG_HEADS = 4


class Embeddings(nn.Module):
    """Words and their places."""

    def __init__(self, vocabulary: int, places: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, width)
        self.position_embeddings = nn.Embedding(places, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """(B, T) tokens that stand at `start` and behind it."""
        places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        return self.LayerNorm(self.word_embeddings(tokens) + self.position_embeddings(places))


class Layers(nn.Module):
    """A stack that looks at something of width `source` in every layer."""

    def __init__(self, depth: int, width: int, heads: int, inner: int, source: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(CrossLayer(width, heads, inner, source) for _ in range(depth))

    def read(self, source: Tensor) -> list[Memory]:
        """What each layer makes of what it looks at."""
        return [layer.crossattention.remember(source) for layer in self.layer if isinstance(layer, CrossLayer)]


class Bert(nn.Module):
    """Embeddings and layers."""

    def __init__(self, vocabulary: int, places: int, depth: int, width: int, heads: int, inner: int, source: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(vocabulary, places, width)
        self.encoder = Layers(depth, width, heads, inner, source)

    def encode(self, tokens: Tensor, there: Tensor, picture: Tensor) -> Tensor:
        """Tags (B, T), `there` False where they are filled up, and the picture: (B, T, width), the filling's rows included."""
        x = self.embeddings(tokens)
        for layer, other in zip(self.encoder.layer, self.encoder.read(picture), strict=True):
            x, _ = layer(x, other, mask=there[:, None, None])
        return x

    def go_on(
        self, tokens: Tensor, start: int, others: Sequence[Memory], past: Sequence[Memory] | None
    ) -> tuple[Tensor, list[Memory]]:
        """Words (B, T) from place `start` on, after `past`: (B, T, width), and what to pass next time."""
        x, memories = self.embeddings(tokens, start), []
        mask = causal(tokens.shape[1], start + tokens.shape[1], tokens.device)
        for number, (layer, other) in enumerate(zip(self.encoder.layer, others, strict=True)):
            x, memory = layer(x, other, past[number] if past else None, mask)
            memories.append(memory)
        return x, memories


class Tagger(nn.Module):
    """Pictures to the logits of every tag: each tag looks for itself, by the first layers of the tags' encoder (which share
    their weights, and split them into 4 heads here), and is weighed by a vector of its own."""

    def __init__(self, tags: int, width: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(1, tags, width))
        self.b = nn.Parameter(torch.zeros(1, tags))

    def forward(self, labels: Tensor, layers: Sequence[CrossLayer], picture: Tensor) -> Tensor:
        """Labels (tags, width) and the picture (B, n, source): (B, tags)."""
        x = labels.expand(len(picture), -1, -1)
        for layer in layers:
            x = layer.feed(layer.crossattention(x, layer.crossattention.remember(picture, TAG_HEADS)))
        return (self.W * x).sum(-1) + self.b


class Transform(nn.Module):
    """What stands between the last layer and the words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class Head(nn.Module):
    """The predictions, under the name that checkpoints have for them."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.predictions = Predictions(vocabulary, width)


class Predictions(nn.Module):
    """Scores of the next word; its matrix is that of the words."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.transform = Transform(width)
        self.decoder = Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


class Decoder(nn.Module):
    """Words to the logits of the next one, with an eye on the tags."""

    def __init__(self, vocabulary: int, places: int, depth: int, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.bert = Bert(vocabulary, places, depth, width, heads, inner, width)
        self.cls = Head(vocabulary, width)
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def read(self, tags: Tensor) -> list[Memory]:
        """What every layer makes of the tags: once per picture, whatever the number of beams."""
        return self.bert.encoder.read(tags)

    def forward(
        self, tokens: Tensor, start: int, tags: Sequence[Memory], past: Sequence[Memory] | None = None
    ) -> tuple[Tensor, list[Memory]]:
        """(B·beams, T) tokens from place `start` on: log-probabilities of the next (B·beams, vocabulary), what to pass next."""
        x, memories = self.bert.go_on(tokens, start, tags, past)
        return self.cls.predictions(x[:, -1]).log_softmax(-1), memories
