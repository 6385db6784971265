"""What is in a box: a language model that reads the box as a prefix and goes on with words (GIT, Wang et al. 2022, sec. 3.1).

The prefix sees itself alone, so what it leaves in memory is the same for every text: it is computed once per box, and the
name ("ObjectDet") and the description ("DenseCap") of a box differ in their start token only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.bert import Layers, Memory, causal
from salt_bench.judges.vbench.networks.linear import Linear

NAME = 101
DESCRIPTION = 104
END = 102
LONGEST = 40
EMBEDDING_EPS = 1e-8


class Embedding(nn.Module):
    """Words and their places."""

    def __init__(self, vocabulary: int, places: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(places, width)
        self.layer_norm = nn.LayerNorm(width, EMBEDDING_EPS)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """(n, t) tokens that stand at `start` and behind it: (n, t, width)."""
        places = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        return self.layer_norm(self.words(tokens) + self.positions(places))


class Transformer(nn.Module):
    """The layers, under the name that checkpoints have for them."""

    def __init__(self, depth: int, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.encoder = Layers(depth, width, heads, inner)


class Writer(nn.Module):
    """Prefix (n, s, channels) and tokens to the logits of what comes next; one matrix reads words and scores them."""

    def __init__(self, channels: int, vocabulary: int, places: int, depth: int, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.object_feature_projection = nn.Sequential(Linear(channels, width), nn.LayerNorm(width))
        self.embedding = Embedding(vocabulary, places, width)
        self.transformer = Transformer(depth, width, heads, inner)
        self.output = Linear(width, vocabulary)
        self.output.weight = self.embedding.words.weight

    def read(self, prefix: Tensor) -> list[Memory]:
        """What the prefix leaves in the memory of every layer, with room for one text at a time behind it."""
        return [memory.roomy(LONGEST) for memory in self.transformer.encoder(self.object_feature_projection(prefix))[1]]

    def forward(self, tokens: Tensor, start: int, past: list[Memory]) -> tuple[Tensor, list[Memory]]:
        """(n, t) tokens from place `start` on, after `past`: logits (n, t, vocabulary), and what to pass next time."""
        alone = tokens.shape[1] == 1  # a single token looks at all there is
        mask = None if alone else causal(tokens.shape[1], len(past[0]) + tokens.shape[1], tokens.device)
        x, memories = self.transformer.encoder(self.embedding(tokens, start), past, mask)
        return self.output(x), memories


@torch.inference_mode()
def write(writer: Writer, past: list[Memory], first: int, longest: int = LONGEST) -> Tensor:
    """Greedy texts, tokens (n, up to `longest`), without the start token and filled with END; no token follows itself."""
    tokens = torch.full((past[0].keys.shape[0], 1), first, device=past[0].keys.device)
    ended, text = torch.zeros_like(tokens, dtype=torch.bool), list[Tensor]()
    while len(text) < longest and not ended.all():
        logits, past = writer(tokens, len(text), past)
        best = logits[:, -1].scatter(1, tokens, -10_000.0).argmax(1, keepdim=True)
        tokens = torch.where(ended, END, best)
        ended = tokens == END
        text.append(tokens)
    return torch.cat(text, 1) if text else tokens[:, :0]
