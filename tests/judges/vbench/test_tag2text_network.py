"""Tag2Text's parts against those of timm and transformers, and its words; there are no released numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from salt_bench.errors import UserError
from salt_bench.judges.vbench import captions
from salt_bench.judges.vbench.base import Setup, Video
from salt_bench.judges.vbench.captions import Captioner, Captions, tag_list
from salt_bench.judges.vbench.networks import wordpiece
from salt_bench.judges.vbench.networks.bert import CrossLayer, causal
from salt_bench.judges.vbench.networks.tag2text import miniature
from salt_bench.judges.vbench.networks.tag2text.beam import Rule
from salt_bench.judges.vbench.networks.tag2text.checkpoint import load, shape
from salt_bench.judges.vbench.networks.tag2text.model import SUPPRESSED, Shape, Tag2Text
from salt_bench.judges.vbench.networks.tag2text.swin import Swin, stretched
from salt_bench.judges.vbench.networks.tag2text.text import Bert, Decoder, Tagger

WIDTH, HEADS, INNER, WORDS, PLACES = 16, 2, 24, 20, 32


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        nn.init.normal_(value, std=0.3, generator=generator)
    return module.eval().requires_grad_(False)


def noise(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def test_the_released_shape_has_the_known_number_of_parameters() -> None:
    with torch.device("meta"):
        network = Tag2Text(Shape())
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == 372


def test_swin_is_the_one_of_timm() -> None:
    from timm.models.swin_transformer import SwinTransformer

    theirs = SwinTransformer(
        img_size=96, window_size=3, embed_dim=8, depths=(2, 3, 2, 2), num_heads=(1, 2, 4, 8), num_classes=0, drop_path_rate=0.0
    )
    randomised(theirs)
    ours = Swin(8, (2, 3, 2, 2), (1, 2, 4, 8), 3).eval()
    state = {name: value for name, value in theirs.state_dict().items() if "index" not in name and "mask" not in name}
    for stage in (1, 2, 3):  # timm puts the merge in front of a stage, the original behind the one before
        state = {name.replace(f"layers.{stage}.down", f"layers.{stage - 1}.down"): value for name, value in state.items()}
    ours.load_state_dict(state)
    x = noise(2, 3, 96, 96)
    with torch.no_grad():
        expected = theirs.forward_features(x).flatten(1, 2)
        found = ours(x)
    assert torch.allclose(found[:, 1:], expected, atol=1e-4)
    assert torch.allclose(found[:, 0], expected.mean(1), atol=1e-4)


def test_tables_for_another_window_are_stretched() -> None:
    from timm.layers import resize_rel_pos_bias_table_simple

    table = noise(7 * 7, 3)
    assert torch.equal(stretched(table, 4), table)
    theirs = resize_rel_pos_bias_table_simple(table, (6, 6), (11 * 11, 3))
    assert torch.allclose(stretched(table, 6), theirs, atol=1e-6)


def config(heads: int = HEADS) -> object:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=heads,
        intermediate_size=INNER,
        max_position_embeddings=PLACES,
        is_decoder=True,
        add_cross_attention=True,
        type_vocab_size=1,
        attn_implementation="eager",
    )


def test_the_decoder_is_bert_with_cross_attention() -> None:
    from transformers import BertLMHeadModel

    ours = randomised(Decoder(WORDS, PLACES, 2, WIDTH, HEADS, INNER))
    theirs = BertLMHeadModel(config()).eval()
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys
    theirs.bert.embeddings.token_type_embeddings.weight.data.zero_()
    theirs.cls.predictions.bias.data.copy_(ours.cls.predictions.decoder.bias)
    tags, tokens = noise(3, 7, WIDTH), torch.tensor([[1, 5, 3, 9], [2, 2, 7, 7], [19, 0, 4, 1]])
    with torch.no_grad():
        expected = theirs(tokens, encoder_hidden_states=tags).logits.log_softmax(-1)
    seen, past = ours.read(tags), None
    for place in range(4):  # one word after the other, from what it remembers
        found, past = ours(tokens[:, place : place + 1], place, seen, past)
        assert torch.allclose(found, expected[:, place], atol=1e-4)
    assert torch.allclose(ours(tokens, 0, seen)[0], expected[:, -1], atol=1e-4), "and all at once"


def test_beams_share_what_their_picture_shows() -> None:
    ours = randomised(Decoder(WORDS, PLACES, 2, WIDTH, HEADS, INNER))
    tags, tokens = noise(2, 7, WIDTH), torch.arange(12).reshape(6, 2)
    together, _ = ours(tokens, 0, ours.read(tags))
    apart, _ = ours(tokens, 0, ours.read(tags.repeat_interleave(3, 0)))
    assert torch.allclose(together, apart, atol=1e-5)


def test_the_encoder_ignores_the_filling_and_sees_the_picture_both_ways() -> None:
    from transformers.models.bert.modeling_bert import BertLayer

    ours = randomised(Bert(WORDS, PLACES, 2, WIDTH, HEADS, INNER, WIDTH))
    theirs = [BertLayer(config(), layer_idx=n).eval() for n in range(2)]
    for layer, other in zip(theirs, ours.encoder.layer, strict=True):
        layer.load_state_dict(other.state_dict())
    picture, tokens = noise(2, 5, WIDTH), torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0]])
    there = torch.tensor([[True, True, True, False], [True, True, False, False]])
    x = ours.embeddings(tokens)
    mask = (~there)[:, None, None].float() * torch.finfo(torch.float32).min
    for layer in theirs:
        with torch.no_grad():
            out = layer(x, attention_mask=mask, encoder_hidden_states=picture)
        x = out[0] if isinstance(out, tuple) else out
    found = ours.encode(tokens, there, picture)
    assert torch.allclose(found, x, atol=1e-4)
    other = ours.encode(tokens.where(there, 9), there, picture)
    assert torch.allclose(found[there], other[there], atol=1e-6)
    assert not torch.allclose(found[~there], other[~there], atol=1e-2), "what became of the filling is there to be seen"


def test_the_tagger_splits_shared_weights_into_four_heads() -> None:
    from transformers.models.bert.modeling_bert import BertLayer

    layer, tagger = CrossLayer(WIDTH, HEADS, INNER, WIDTH), Tagger(6, WIDTH)
    randomised(layer)
    randomised(tagger)
    theirs = BertLayer(config(heads=4)).eval()
    theirs.load_state_dict(layer.state_dict())
    labels, picture = noise(6, WIDTH), noise(2, 5, WIDTH, seed=2)
    with torch.no_grad():
        start = labels[None].repeat(2, 1, 1)
        x = theirs.crossattention(start, encoder_hidden_states=picture)
        x = x[0] if isinstance(x, tuple) else x
        x = theirs.output(theirs.intermediate(x), x)
        expected = torch.einsum("btc,tc->bt", x, tagger.W[0]) + tagger.b
        found = tagger(labels, [layer], picture)
    assert torch.allclose(found, expected, atol=1e-4)


def test_tags_are_those_that_are_sure_but_for_six() -> None:
    network = miniature.miniature(0, Shape(**{**vars(miniature.SMALL), "tags": 3429}))
    network.fc.W.zero_()
    network.fc.b.fill_(0.8)  # sigmoid 0.69
    for tag in (5, 127, 3351, 3265, 3338, 3355, 3359, 3360):
        network.fc.b[0, tag] = 0.9  # sigmoid 0.71
    assert network.tags(noise(1, 3, 64)) == [[5, 3360]]
    assert len(SUPPRESSED) == 6


def test_frames_are_shown_as_imagenet_has_them(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A captioner's bytes are divided by 255, and 0.485 of red, 0.456 of green and 0.406 of blue are the middle."""
    captioner, seen = Captioner(cache, "cpu"), []
    monkeypatch.setattr(Tag2Text, "look", lambda self, pixels: seen.append(pixels) or noise(len(pixels), 3, 64))
    monkeypatch.setattr(Tag2Text, "tags", lambda self, picture: [[] for _ in picture])
    monkeypatch.setattr(Tag2Text, "say", lambda self, picture, tokens, *rest: [[] for _ in tokens])
    captioner(np.zeros((1, 384, 384, 3), np.uint8) + np.array([255, 51, 0], np.uint8))
    torch.testing.assert_close(seen[0][0, :, 7, 9], torch.tensor([1.0, 0.2, 0.0]))
    monkeypatch.undo()
    network = miniature.miniature(0)
    network.visual_encoder.forward = lambda x: x  # type: ignore[method-assign]
    middle, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    shown = network.look((middle + 2 * deviation)[None, :, None, None].expand(1, 3, 4, 4))
    torch.testing.assert_close(shown, torch.full((1, 3, 4, 4), 2.0))


def test_sixteen_frames_of_384_by_384_are_described(cache: Path) -> None:
    one = Captions(Setup(cache))
    assert one.size == (384, 384)
    assert len(one.chosen(Video(Path("x.mp4"), 40, 480, 832, 8.0))) == 16


def test_tags_are_found_by_two_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    network, counted = miniature.miniature(0, replace(miniature.SMALL, encoder_depth=3)), []

    def forward(labels: Tensor, layers: list[Any], picture: Tensor) -> Tensor:
        counted.append(len(layers))
        return torch.zeros(1, 8)

    monkeypatch.setattr(network.fc, "forward", forward)
    network.tags(noise(1, 3, 64))
    assert counted == [2]


def test_the_causal_mask_lets_see_oneself_and_the_past() -> None:
    assert causal(2, 4, torch.device("cpu")).tolist() == [[True, True, True, False], [True] * 4]


def test_a_weight_file_tells_its_own_shape_and_second_names_are_no_matter(tmp_path: Path) -> None:
    state = dict(miniature.miniature(0).state_dict())
    state["tagging_head.encoder.layer.0.output.dense.bias"] = torch.ones(64)
    state["visual_encoder.layers.0.blocks.0.attn.relative_position_index"] = torch.ones(2, dtype=torch.long)
    torch.save({"model": state}, tmp_path / "a.pth")
    network = load(tmp_path / "a.pth")
    assert shape(state) == miniature.SMALL
    assert torch.equal(network.label_embed.weight, state["label_embed.weight"])
    del state["fc.W"]
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"b.pth lacks 'fc.W'"):
        load(tmp_path / "b.pth")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    miniature.write(folder / captions.WEIGHTS)
    miniature.write_tags(folder / captions.TAGS)
    wordpiece.write_small(folder / captions.VOCABULARY)
    return folder


def test_tags_become_forty_tokens(cache: Path) -> None:
    tokens, there = Captioner(cache, "cpu").tokens([["red", "cat"], [], ["red"] * 30])
    words = (cache / captions.VOCABULARY).read_text().split("\n")
    first = [words[token] if token < 128 else token for token in tokens[0].tolist()]
    assert first == [129, "red", "|", "cat", "[SEP]", *["[PAD]"] * 35]
    assert there.sum(1).tolist() == [5, 2, 40]
    assert words[tokens[2, -1]] == "[SEP]"
    assert words[tokens[2, -2]] == "|"


def test_a_caption_is_what_follows_the_prompt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = Captioner(cache, "cpu")
    words = (cache / captions.VOCABULARY).read_text().split("\n")

    def said(self: Tag2Text, picture: Tensor, tokens: Tensor, there: Tensor, prompt: list[int], end: int, rule: Rule) -> object:
        assert [words[token] for token in prompt[1:]] == ["a", "picture", "of"]
        assert (prompt[0], words[end], rule) == (128, "[SEP]", Rule(3, 30, 10, 1.0))
        return [[*prompt, words.index("red"), words.index("street")]] * len(tokens)

    monkeypatch.setattr(Tag2Text, "say", said)
    assert captioner(np.zeros((2, 384, 384, 3), np.uint8)) == ["red street"] * 2


def test_a_frame_like_the_one_before_is_not_described_again(cache: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 384, 384, 3)).astype(np.uint8)
    running = Captions(Setup(cache)).start(Video(Path("x.mp4"), 5, 384, 384, 8.0))
    counted = []
    say = running.captioner
    running.captioner = lambda new: (counted.append(len(new)), say(new))[1]  # type: ignore[assignment]
    assert running.take(frames[[0, 0, 1]])
    assert running.take(frames[[1, 1]])
    assert running.take(frames[[2]])
    found = running.result()["caption"].tolist()
    assert counted == [2, 1]
    assert len(found) == 6
    assert found[0] == found[1] == say(frames[:1])[0]
    assert found[2] == found[3] == found[4] == say(frames[1:2])[0]


def test_the_list_of_tags_must_be_that_of_the_weights(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        tag_list(tmp_path / "tags.txt", 3)
    miniature.write_tags(tmp_path / "tags.txt")
    assert len(tag_list(tmp_path / "tags.txt", 8)) == 8
    with pytest.raises(UserError, match="has 8 tags where the weights have 3429"):
        tag_list(tmp_path / "tags.txt", 3429)


def test_words_are_joined_and_punctuation_moves_back(tmp_path: Path) -> None:
    wordpiece.write_small(tmp_path / "vocab.txt", ("red", "##dish", "it", "'", "s", ",", "cat", "."))
    words = wordpiece.WordPiece(tmp_path / "vocab.txt")
    tokens = words.encode("Reddish cat, it's.")
    assert len(words) == wordpiece.SMALL
    assert words.decode([*tokens, 128, 129]) == "reddish cat, it's."
    assert words.decode([101, 102, 0, 103]) == ""
    assert len(words.encode("red cat it", 4)) == 4
    assert words.encode("red cat it", 4)[-1] == words.end == 102
    with pytest.raises(UserError, match="is not there"):
        len(wordpiece.WordPiece(tmp_path / "other.txt"))
