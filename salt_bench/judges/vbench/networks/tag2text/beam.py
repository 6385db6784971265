"""Beam search as transformers 4.33 does it, for one step function: several unfinished sentences compete until none can win.

Of a picture's beams, the best 2·width continuations are looked at in order. An end among the best `width` finishes a
sentence; the others fill the beams again. A picture is done when it has `width` finished sentences and the best unfinished
one could not beat the worst of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from salt_bench.judges.vbench.networks.bert import Memory

Step = Callable[[Tensor, int, Sequence[Memory] | None], tuple[Tensor, list[Memory]]]
"""Tokens (rows, T), the place of the first, the past: log-probabilities of the next token (rows, vocabulary) and its past."""


@dataclass(frozen=True)
class Rule:
    """How to search. Lengths count the prompt, and not the end; `penalty` is the power of the length that divides a score."""

    width: int = 3
    longest: int = 30
    shortest: int = 10
    penalty: float = 1.0

    def score(self, total: float, length: int) -> float:
        """A sentence's score from the sum of its log-probabilities."""
        return total / length**self.penalty


@dataclass
class Sentences:
    """One picture's finished sentences with their scores, the best `width` of them."""

    rule: Rule
    finished: list[tuple[float, list[int]]] = field(default_factory=list)
    done: bool = False

    def add(self, total: float, tokens: list[int]) -> None:
        """`tokens` with the prompt and without an end. Of equals the earlier stays."""
        self.finished.append((self.rule.score(total, len(tokens)), tokens))
        self.finished = sorted(self.finished, key=lambda one: -one[0])[: self.rule.width]

    def close(self, best: float, length: int) -> None:
        """Done if the best sum of log-probabilities, at this length, beats no sentence here."""
        full = len(self.finished) == self.rule.width
        self.done = self.done or (full and self.finished[-1][0] >= self.rule.score(best, length))

    def best(self) -> list[int]:
        return self.finished[0][1]


@dataclass(frozen=True)
class Beam:
    """An unfinished sentence: the row that it goes on from, its sum of log-probabilities, its new token."""

    row: int
    total: float
    token: int


def search(step: Step, prompt: Sequence[int], pictures: int, end: int, rule: Rule, device: str = "cpu") -> list[list[int]]:
    """Each picture's best sentence, prompt included and end not. Rows of the step function are picture by picture, the beams
    of one beside each other."""
    sentences = [Sentences(rule) for _ in range(pictures)]
    texts = [list(prompt) for _ in range(pictures * rule.width)]
    totals = torch.tensor([0.0, *[-1e9] * (rule.width - 1)], device=device).repeat(pictures)  # all beams start equal: use one
    tokens, past = torch.tensor(texts, device=device), None
    while len(texts[0]) < rule.longest and not all(one.done for one in sentences):
        scores, past = step(tokens, len(texts[0]) - tokens.shape[1], past)
        if len(texts[0]) < rule.shortest:
            scores[:, end] = -torch.inf
        beams = _beams(scores + totals[:, None], sentences, texts, end)
        texts = [[*texts[beam.row], beam.token] for beam in beams]
        totals = torch.tensor([beam.total for beam in beams], device=device)
        tokens = torch.tensor([[beam.token] for beam in beams], device=device)
        past = [memory.rows(torch.tensor([beam.row for beam in beams], device=device)) for memory in past]
    for number, one in enumerate(sentences):
        _finish(one, texts, totals.tolist(), number)
    return [one.best() for one in sentences]


def _beams(scores: Tensor, sentences: Sequence[Sentences], texts: Sequence[list[int]], end: int) -> list[Beam]:
    """What every picture goes on with; its finished sentences are noted on the way."""
    width = sentences[0].rule.width
    every = scores.unflatten(0, (-1, width)).flatten(1).topk(2 * width)
    beams = []
    for number, (values, places) in enumerate(zip(every.values.tolist(), every.indices.tolist(), strict=True)):
        rows = [number * width + place // scores.shape[1] for place in places]
        ranked = [Beam(row, value, place % scores.shape[1]) for row, value, place in zip(rows, values, places, strict=True)]
        if not sentences[number].done:
            for beam in (beam for beam in ranked[:width] if beam.token == end):
                sentences[number].add(beam.total, texts[beam.row])
            sentences[number].close(values[0], len(texts[0]) + 1)
        beams += [beam for beam in ranked if beam.token != end][:width]
    return beams


def _finish(sentences: Sentences, texts: Sequence[list[int]], totals: Sequence[float], number: int) -> None:
    """At the greatest length, unfinished sentences count as they are."""
    if not sentences.done:
        width = sentences.rule.width
        for row in range(number * width, (number + 1) * width):
            sentences.add(totals[row], texts[row])
