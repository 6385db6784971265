"""Beam search against transformers' own, against one that remembers nothing, and against every sentence there is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.bert import Memory
from salt_bench.judges.vbench.networks.tag2text.beam import Rule, Sentences, search
from salt_bench.judges.vbench.networks.tag2text.text import Decoder

WORDS, END, WIDTH = 12, 2, 16
PROMPT = (1, 5)


def decoder(seed: int) -> Decoder:
    generator = torch.Generator().manual_seed(seed)
    network = Decoder(WORDS, 40, 2, WIDTH, 2, 24).eval().requires_grad_(False)
    for value in network.parameters():
        nn.init.normal_(value, std=0.35, generator=generator)
    network.cls.predictions.decoder.bias[END] += 1.5
    return network


def tags(seed: int, pictures: int = 3) -> Tensor:
    return torch.randn(pictures, 4, WIDTH, generator=torch.Generator().manual_seed(seed))


def found(network: Decoder, seen: Tensor, rule: Rule) -> list[list[int]]:
    other = network.read(seen)

    def step(tokens: Tensor, start: int, past: Sequence[Memory] | None) -> tuple[Tensor, list[Memory]]:
        return network(tokens, start, other, past)

    return search(step, PROMPT, len(seen), END, rule)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_search_of_transformers(seed: int) -> None:
    """With penalty 0, where its old rule for lengths (with the prompt) and its new one (without) agree."""
    from transformers import BertConfig, BertLMHeadModel

    network = decoder(seed)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        type_vocab_size=1,
        is_decoder=True,
        add_cross_attention=True,
    )
    theirs = BertLMHeadModel(config).eval()
    theirs.load_state_dict(network.state_dict(), strict=False)
    theirs.bert.embeddings.token_type_embeddings.weight.data.zero_()
    theirs.cls.predictions.bias.data.copy_(network.cls.predictions.decoder.bias)
    seen = tags(seed)
    written = theirs.generate(
        torch.tensor([PROMPT] * len(seen)),
        encoder_hidden_states=seen,
        num_beams=3,
        max_length=14,
        min_length=5,
        length_penalty=0.0,
        eos_token_id=END,
        pad_token_id=0,
        do_sample=False,
        use_cache=False,
        early_stopping=False,
    )
    expected = [[token for token in row if token not in (0, END)] for row in written.tolist()]
    ours = found(network, seen, Rule(3, 14, 5, 0.0))
    assert [[token for token in row if token != 0] for row in ours] == expected
    assert {len(row) for row in expected} != {14}, "no sentence ended: the test shows nothing"


@pytest.mark.parametrize("seed", range(3))
def test_what_it_remembers_changes_nothing(seed: int) -> None:
    network, seen = decoder(seed), tags(seed)
    texts: list[Tensor] = []

    def forgetful(tokens: Tensor, start: int, past: Sequence[Memory] | None) -> tuple[Tensor, list[Memory]]:
        """Carries the words instead of what was made of them, and reads all of them again."""
        every = tokens if past is None else torch.cat([past[0].keys[:, 0, :, 0].long(), tokens], 1)
        texts.append(every)
        scores, _ = network(every, 0, network.read(seen))
        carried = every[:, None, :, None].double()
        return scores, [Memory(carried, carried)]

    rule = Rule(3, 14, 5)
    assert search(forgetful, PROMPT, len(seen), END, rule) == found(network, seen, rule)
    assert len(texts) > 4


def score(network: Decoder, seen: Tensor, words: Sequence[int], ended: bool) -> float:
    """A sentence's log-probability over its length with the prompt."""
    total, every = 0.0, [*PROMPT, *words]
    for place in range(len(PROMPT), len(every) + ended):
        target = every[place] if place < len(every) else END
        total += network(torch.tensor([every[:place]]), 0, network.read(seen))[0][0, target].item()
    return total / len(every)


def test_a_wide_search_finds_the_best_of_all_sentences() -> None:
    network, seen = decoder(1), tags(1, 1)
    others = [word for word in range(WORDS) if word != END]
    ended = {words: score(network, seen, words, True) for n in (0, 1, 2) for words in product(others, repeat=n)}
    cut = {words: score(network, seen, words, False) for words in product(others[:], repeat=3) if words[0] in (0, 1)}
    every = {(words, True): value for words, value in ended.items()} | {(words, False): value for words, value in cut.items()}
    (best,) = found(network, seen, Rule(width=150, longest=5, shortest=0))
    rest = max(value for (words, _), value in every.items())
    words = tuple(best[2:])
    assert score(network, seen, words, len(words) < 3) >= rest - 1e-6


def test_nothing_ends_before_its_time_and_all_end_in_time() -> None:
    network = decoder(0)
    network.cls.predictions.decoder.bias[END] += 20
    assert [len(row) for row in found(network, tags(0), Rule(3, 14, 6))] == [6, 6, 6]
    network.cls.predictions.decoder.bias[END] -= 60
    assert [len(row) for row in found(network, tags(0), Rule(3, 14, 6))] == [14, 14, 14]


def test_a_picture_is_done_when_no_unfinished_sentence_could_win() -> None:
    sentences = Sentences(Rule(width=2, penalty=1.0))
    sentences.add(-4.0, [1, 1, 1, 1])
    sentences.close(-100.0, 5)
    assert not sentences.done, "one finished sentence is not enough"
    sentences.add(-10.0, [1, 2, 1, 2, 1])
    sentences.close(-9.0, 5)
    assert not sentences.done, "-9/5 beats the worst"
    sentences.add(-6.0, [7, 7, 7, 7])
    assert sentences.finished == [(-1.0, [1, 1, 1, 1]), (-1.5, [7, 7, 7, 7])]
    sentences.close(-9.0, 5)
    assert sentences.done
    assert sentences.best() == [1, 1, 1, 1]


def test_a_beam_takes_along_what_its_own_words_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third beam overtakes: what is remembered at its place must be its words, and lengths count the word to come."""
    seen, lengths = [], []
    close = Sentences.close
    monkeypatch.setattr(Sentences, "close", lambda self, best, length: (lengths.append(length), close(self, best, length))[1])

    def step(tokens: Tensor, start: int, past: Sequence[Memory] | None) -> tuple[Tensor, list[Memory]]:
        every = tokens if past is None else torch.cat([past[0].keys[:, 0, :, 0].long(), tokens], 1)
        seen.append(every.tolist())
        odds = torch.full((len(tokens), 7), -50.0)
        for row, word in zip(odds, every[:, -1].tolist(), strict=True):
            row[1:4] = {5: torch.tensor([-1.0, -1.1, -1.2]), 2: torch.tensor([-3.0, -3.1, -9])}.get(word, torch.tensor(-9.0))
            row[4] = -0.1 if word == 3 else -50.0
        carried = every[:, None, :, None].double()
        return odds, [Memory(carried, carried)]

    search(step, (5,), 1, 0, Rule(3, 4, 0))
    assert seen == [[[5]] * 3, [[5, 1], [5, 2], [5, 3]], [[5, 3, 4], [5, 2, 1], [5, 2, 2]]]
    assert lengths == [2, 3, 4]
