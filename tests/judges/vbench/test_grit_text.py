"""GRiT's writer, against transformers' BERT and decoding without a memory."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from grit_parts import noise, randomised
from torch import Tensor, nn

from salt_bench.judges.vbench.networks.bert import Memory
from salt_bench.judges.vbench.networks.grit import boxes, miniature, text
from salt_bench.judges.vbench.networks.grit.model import Grit, joined


@pytest.fixture(scope="module")
def small() -> Grit:
    return miniature.miniature(0)


@pytest.fixture(scope="module")
def writer() -> text.Writer:
    return randomised(text.Writer(8, 120, 50, 2, 64, 2, 32), seed=3)  # type: ignore[return-value]


def test_the_writer_is_bert_with_a_prefix_that_sees_itself_alone(writer: text.Writer) -> None:
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertEncoder

    config = BertConfig(
        hidden_size=64, num_attention_heads=2, num_hidden_layers=2, intermediate_size=32, attn_implementation="eager"
    )
    theirs = BertEncoder(config).eval()
    theirs.load_state_dict(writer.transformer.encoder.state_dict())
    prefix, tokens = noise(3, 5, 8), torch.tensor([[101, 7, 9, 11]]).repeat(3, 1)
    past = writer.read(prefix)
    ours, _ = writer(tokens, 0, past)
    seen = torch.zeros(9, 9)
    seen[:, :5] = 1
    seen[5:, 5:] = torch.ones(4, 4).tril()
    joint = torch.cat([writer.object_feature_projection(prefix), writer.embedding(tokens)], 1)
    mask = (1 - seen)[None, None] * torch.finfo(torch.float32).min
    with torch.no_grad():
        hidden = theirs(joint, attention_mask=mask).last_hidden_state
        expected = writer.output(hidden[:, 5:])
    assert torch.allclose(ours, expected, atol=1e-4)
    words = writer.embedding.words(tokens) + writer.embedding.positions(torch.arange(4))
    expected = nn.functional.layer_norm(words, (64,), *writer.embedding.layer_norm.parameters(), eps=1e-8)
    assert torch.allclose(writer.embedding(tokens), expected, atol=1e-6)


def slow(writer: text.Writer, prefix: Tensor, first: int, longest: int) -> list[list[int]]:
    """Greedy decoding of one box after the other that reads everything again for every token."""
    texts = []
    for one in prefix:
        tokens = [first]
        while len(tokens) <= longest and (tokens[-1] != text.END or len(tokens) == 1):
            logits, _ = writer(torch.tensor([tokens]), 0, writer.read(one[None]))
            scores = logits[0, -1].clone()
            scores[tokens[-1]] = -10_000
            tokens.append(int(scores.argmax()))
        texts.append(tokens[1:])
    return texts


def test_greedy_decoding_with_what_it_remembers_is_greedy_decoding(writer: text.Writer) -> None:
    prefix = noise(6, 5, 8, seed=5)
    writer.output.bias.data[text.END] += 2.5  # some sentences end
    past = writer.read(prefix)
    lengths = set()
    for first in (text.NAME, text.DESCRIPTION):
        expected = slow(writer, prefix, first, 12)
        written = text.write(writer, past, first, 12)
        assert [row[: len(one)] for row, one in zip(written.tolist(), expected, strict=True)] == expected
        assert all(set(row[len(one) :]) <= {text.END} for row, one in zip(written.tolist(), expected, strict=True))
        assert all(a != b for one in expected for a, b in pairwise(one))
        lengths |= {len(one) for one in expected}
    assert len(lengths) > 1
    assert min(lengths) < 12, "no sentence ended: the test shows nothing"


def test_a_token_may_come_back_but_not_at_once() -> None:
    """The fifth word is always the best and the sixth the next: they take turns."""
    odds = torch.zeros(1, 1, 120)
    odds[..., 5], odds[..., 6] = 2.0, 1.0
    stand_in = lambda tokens, start, past: (odds, past)  # noqa: E731
    past = [Memory(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))]
    assert text.write(stand_in, past, text.NAME, 4).tolist() == [[5, 6, 5, 6]]  # type: ignore[arg-type]


def test_a_box_is_read_in_14_by_14_places_row_by_row(small: Grit, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    decoder, maps = small.roi_heads.text_decoder.textual, small.backbone(noise(1, 3, 64, 96))
    read = decoder.read
    monkeypatch.setattr(decoder, "read", lambda prefix: (seen.append(prefix), read(prefix))[1])
    regions = [torch.tensor([[3.0, 4, 50, 60]])]
    small.roi_heads.texts(maps, regions)
    assert seen[0].shape == (1, 196, 64)
    assert torch.equal(seen[0][0, 14 * 2 + 5], boxes.pool(maps, regions, 14)[0, :, 2, 5])


def test_no_box_has_no_text(writer: text.Writer) -> None:
    assert text.write(writer, writer.read(torch.zeros(0, 5, 8)), text.NAME).shape == (0, 0)
    assert joined([torch.ones(1, 2), torch.ones(2, 3)]).tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
