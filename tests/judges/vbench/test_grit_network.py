"""GRiT's parts against parts that others keep and against answers worked out by hand; there are no released numbers."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks.bert import Memory
from salt_bench.judges.vbench.networks.grit import boxes, miniature, proposals, text, vit
from salt_bench.judges.vbench.networks.grit.checkpoint import load, shape
from salt_bench.judges.vbench.networks.grit.fpn import ChannelNorm, Pyramid
from salt_bench.judges.vbench.networks.grit.model import Grit, Shape, joined, padded
from salt_bench.judges.vbench.networks.grit.proposals import Scored

MASK_HEAD = 4 * (256 * 256 * 9 + 256) + (256 * 256 * 4 + 256) + (256 + 1)
"""Parameters of the usual mask head, which the released network has and ours has not: four convolutions, one up, one out."""


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """All parameters random, so that no zero hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        nn.init.normal_(value, std=0.3, generator=generator)
    return module.eval().requires_grad_(False)


def noise(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def small() -> Grit:
    return miniature.miniature(0)


def test_the_released_shape_has_the_known_number_of_parameters() -> None:
    with torch.device("meta"):
        network = Grit(Shape())
    assert round((sum(p.numel() for p in network.parameters()) + MASK_HEAD) / 1e6, 1) == 208.6


@pytest.mark.parametrize("window", [0, 14])
def test_block_is_the_one_of_segment_anything(window: int) -> None:
    from transformers.models.sam.modeling_sam import SamVisionConfig, SamVisionLayer

    config = SamVisionConfig(hidden_size=32, num_attention_heads=2, mlp_dim=48, image_size=320, attn_implementation="eager")
    config._attn_implementation = "eager"
    theirs = randomised(SamVisionLayer(config, window))
    ours = vit.Block(32, 2, window or 20, window, 48).eval()
    names = {"layer_norm": "norm", "lin": "fc"}
    state = theirs.state_dict()
    for old, new in names.items():
        state = {name.replace(old, new): value for name, value in state.items()}
    ours.load_state_dict(state)
    x = noise(2, 17, 23, 32)  # neither a multiple of the window, nor as large as the tables
    expected = theirs(x)
    assert torch.allclose(ours(x), expected[0] if isinstance(expected, tuple) else expected, atol=2e-5)


def test_positions_are_stretched_without_the_class_token() -> None:
    from timm.layers import resample_abs_pos_embed

    net = randomised(vit.ViT(8, 1, 8, (14,), 14, 16, 14))
    theirs = resample_abs_pos_embed(net.pos_embed, [5, 9], [14, 14], interpolation="bicubic", antialias=False)
    assert torch.allclose(net.positions(5, 9).flatten(1, 2), theirs[:, 1:], atol=1e-6)
    assert torch.equal(net.positions(14, 14).flatten(1, 2), net.pos_embed[:, 1:])


def test_windows_come_back() -> None:
    x = noise(2, 17, 23, 3)
    parts = vit.windows(x, 14)
    assert parts.shape == (8, 14, 14, 3)
    assert torch.equal(parts[1, :, :9], x[0, :14, 14:])
    assert not parts[1, :, 9:].any()
    assert torch.equal(vit.whole(parts, 2, 17, 23), x)


def test_channel_norm_is_layer_norm_and_strides_are_8_to_128() -> None:
    x = noise(1, 6, 4, 5)
    expected = nn.functional.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6).permute(0, 3, 1, 2)
    assert torch.allclose(ChannelNorm(6)(x), expected)
    maps = Pyramid(vit.ViT(8, 1, 8, (14,), 14, 16, 14), 8, 4).eval()(noise(1, 3, 96, 160))
    assert [tuple(level.shape[2:]) for level in maps] == [(12, 20), (6, 10), (3, 5), (2, 3), (1, 2)]


def test_frames_are_normalised_and_then_filled_with_zeros() -> None:
    out = padded(torch.tensor([123.675, 116.28, 103.53])[None, :, None, None].expand(1, 3, 33, 40) + 58.395)
    assert out.shape == (1, 3, 64, 64)
    assert torch.allclose(out[0, 0, :33, :40], torch.ones(33, 40))
    assert not out[0, :, 33:].any()
    assert not out[0, :, :, 40:].any()


def test_candidates_stand_in_the_middle_of_their_cells() -> None:
    heat = torch.full((3, 4), 1e-5)
    heat[2, 1], heat[0, 3] = 0.25, 0.81
    distances = torch.arange(1.0, 5)[:, None, None].expand(4, 3, 4)
    found = proposals.candidates(heat, distances, 8)
    assert torch.equal(found.boxes, torch.tensor([[28 - 8.0, 4 - 16, 28 + 24, 4 + 32], [12 - 8, 20 - 16, 12 + 24, 20 + 32]]))
    assert torch.allclose(found.scores, torch.tensor([0.9, 0.5]))
    coarse = proposals.candidates(torch.ones(1, 1), torch.ones(4, 1, 1), 16)
    assert torch.equal(coarse.boxes, torch.tensor([[8 - 16.0, 8 - 16, 8 + 16, 8 + 16]])), "distances are in strides"


def test_candidates_and_proposals_are_bounded() -> None:
    heat = torch.tensor([[0.9e-4, 1.1e-4]])
    assert len(proposals.candidates(heat, torch.ones(4, 1, 2), 8).scores) == 1, "more than a ten-thousandth"
    assert len(proposals.candidates(torch.rand(40, 40), torch.ones(4, 40, 40), 8).scores) == 1000
    corner = 20.0 * torch.arange(300)[:, None]
    apart = Scored(torch.cat([corner, corner * 0, corner + 10, corner * 0 + 10], 1), torch.linspace(1, 0.6, 300))
    assert len(proposals.strongest([apart]).boxes) == 256
    assert len(boxes.final(apart.boxes, apart.scores, 10**4, 10**4).boxes) == 256


def test_things_that_share_half_are_one() -> None:
    """Boxes of 100 x 100, the second moved: 100 · (100 - d) / (100 · (100 + d)) is 0.54 for 30 and 0.48 for 35."""
    for move, kept in ((30.0, 1), (35.0, 2)):
        offered = torch.tensor([[0.0, 0, 100, 100], [move, 0, 100 + move, 100]])
        assert len(boxes.final(offered, torch.tensor([0.9, 0.8]), 200, 200).boxes) == kept


def test_no_candidate_is_without_width() -> None:
    found = proposals.candidates(torch.ones(1, 1), torch.zeros(4, 1, 1), 8)
    assert torch.allclose(found.boxes, torch.tensor([[4.0, 4, 4.01, 4.01]]))


def test_near_duplicates_of_any_level_are_one_proposal() -> None:
    one = Scored(torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([0.6]))
    two = Scored(torch.tensor([[0.0, 0, 100, 95], [0.0, 0, 100, 85]]), torch.tensor([0.7, 0.5]))  # 0.95 and 0.85 of the first
    found = proposals.strongest([one, two])
    assert torch.equal(found.boxes, torch.tensor([[0.0, 0, 100, 95], [0.0, 0, 100, 85]]))
    assert torch.allclose(found.scores, torch.tensor([0.7, 0.5]))


def test_proposals_are_best_first_and_bounded(small: Grit) -> None:
    maps = small.backbone(noise(2, 3, 192, 256))
    found = small.proposal_generator(maps)
    assert len(found) == 2
    for one in found:
        assert 1 < len(one.boxes) <= proposals.KEPT
        assert torch.equal(one.scores, one.scores.sort(descending=True).values)


def test_levels_are_those_of_torchvision() -> None:
    from torchvision.ops.poolers import LevelMapper

    sides = torch.tensor([1.0, 50, 111, 113, 223, 225, 447, 449, 2000])
    regions = torch.stack([sides * 0, sides * 0, sides * 2, sides / 2], 1)
    assert torch.equal(boxes.levels(regions), LevelMapper(3, 5)([regions]))
    assert boxes.levels(regions).tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2]


def test_pooling_reads_coordinates_of_the_picture() -> None:
    ramps = []
    for stride in (8, 16, 32):
        place = (torch.arange(1024 // stride) + 0.5) * stride
        ramps.append(
            torch.stack([place.expand(len(place), -1), place[:, None].expand(-1, len(place))])[None].repeat(2, 1, 1, 1)
        )
    regions = [torch.tensor([[100.0, 60, 170, 200]]), torch.tensor([[300.0, 200, 700, 600], [100, 100, 900, 900]])]
    pooled = boxes.pool([ramps[0], ramps[1], ramps[2] + 5000], regions, 7)
    assert pooled.shape == (3, 2, 7, 7)
    assert torch.allclose(pooled[0, 0, 0], 100 + (torch.arange(7) + 0.5) * 10, atol=1e-2)
    assert torch.allclose(pooled[0, 1, :, 0], 60 + (torch.arange(7) + 0.5) * 20, atol=1e-2)
    assert torch.allclose(pooled[1, :, 3, 3], torch.tensor([500.0, 400]), atol=1e-2)
    assert torch.allclose(pooled[2, :, 3, 3], torch.tensor([5500.0, 5500]), atol=1e-2), "the largest box, from the coarsest map"


def test_a_bin_is_the_mean_of_as_many_places_as_it_has_cells() -> None:
    """200 pixels are 25 cells of the finest map, 25/7 a bin: the mean of 4 x 4 places, read between cells."""
    level = noise(1, 1, 32, 32)
    pooled = boxes.pool([level, level, level], [torch.tensor([[20.0, 12, 220, 212]])], 7)
    along = (torch.arange(28) + 0.5) * 25 / 28 - 0.5
    x, y = (2 * (along + start / 8) / 31 - 1 for start in (20, 12))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    wanted = nn.functional.avg_pool2d(nn.functional.grid_sample(level, places, align_corners=True), 4)
    assert torch.allclose(pooled, wanted, atol=1e-4)


def test_the_pyramid_is_made_of_its_parts() -> None:
    net = randomised(Pyramid(vit.ViT(8, 1, 8, (14,), 14, 16, 14), 8, 4))
    frames = noise(1, 3, 96, 160)
    x, maps = net.bottom_up(frames), net(frames)

    def part(name: str, x: Tensor) -> Tensor:
        return net.get_submodule(name)(x)

    for stride, start, found in ((8, part("fpn_stride_16_8", x), maps[0]), (16, x, maps[1]), (32, x, maps[2])):
        if stride == 32:
            start = start.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        small = part(f"fpn_stride{stride}_norm1", part(f"fpn_stride{stride}_conv1", start))
        assert torch.allclose(found, part(f"fpn_stride{stride}_norm2", part(f"fpn_stride{stride}_conv2", small)), atol=1e-5)
    assert torch.allclose(maps[3], net.top_block.p6(maps[2]), atol=1e-5)
    assert maps[3].min() < 0
    assert torch.allclose(maps[4], net.top_block.p7(maps[3].clamp(min=0)), atol=1e-5)


def test_small_numbers_that_the_papers_and_the_released_network_fix() -> None:
    with torch.device("meta"):
        network = Grit(Shape())
    assert [block.window for block in network.backbone.bottom_up.blocks] == [14, 14, 0] * 4, "2, 5, 8 and 11 see everything"
    assert {(block.norm1.eps, block.norm2.eps) for block in network.backbone.bottom_up.blocks} == {(1e-6, 1e-6)}
    assert (text.NAME, text.DESCRIPTION, text.END, text.LONGEST) == (101, 104, 102, 40)
    written = network.roi_heads.text_decoder.textual
    assert written.embedding.layer_norm.eps == 1e-8
    assert written.transformer.encoder.layer[0].output.LayerNorm.eps == 1e-12
    tower = network.proposal_generator.centernet_head.bbox_tower
    assert [part.num_groups for part in tower if isinstance(part, nn.GroupNorm)] == [32] * 4


def test_distances_are_scaled_for_each_level_and_never_negative() -> None:
    head = randomised(proposals.Head(32), seed=4)
    level = noise(1, 32, 4, 4)
    raw = head.bbox_pred(head.bbox_tower(level))
    assert raw.min() < 0
    for (heat, far), scale in zip(head([level] * 5), head.scales, strict=True):
        assert torch.allclose(far, (raw * scale.scale).clamp(min=0), atol=1e-5)
        assert torch.allclose(heat, 1 / (1 + (-head.agn_hm(head.bbox_tower(level))).exp()), atol=1e-5)
    assert len({round(scale.scale.item(), 4) for scale in head.scales}) == 5


def test_pooling_belongs_to_its_frame_whatever_the_neighbours(small: Grit) -> None:
    maps = small.backbone(noise(2, 3, 64, 96))
    regions = [torch.tensor([[3.0, 4, 50, 60], [0, 0, 96, 64]]), torch.tensor([[10.0, 20, 30, 40]])]
    together = boxes.pool(maps, regions, 7)
    alone = boxes.pool([level[1:] for level in maps], regions[1:], 7)
    assert torch.equal(together[2:], alone)


def test_changes_are_those_of_torchvision() -> None:
    from torchvision.models.detection._utils import BoxCoder

    start = torch.tensor([[10.0, 20, 50, 100], [0, 0, 7, 9]])
    change = torch.tensor([[1.0, -2, 0.5, 30], [0, 3, -4, 100]])
    for weights in boxes.STAGES:
        theirs = BoxCoder(weights, boxes.FURTHEST).decode(change, [start])[:, 0]
        assert torch.allclose(boxes.moved(start, change, weights), theirs, rtol=1e-5)


def test_boxes_end_at_the_edges_of_the_picture() -> None:
    from torchvision.ops import clip_boxes_to_image

    some = torch.tensor([[-5.0, -7, 300, 300], [10, 20, 30, 40], [-9, -9, -1, -1]])
    assert torch.equal(boxes.clipped(some, 50, 80), clip_boxes_to_image(some, (50, 80)))


def test_the_cascade_averages_its_stages_and_weighs_by_the_proposal() -> None:
    cascade = boxes.Cascade(4, 8)
    for value in cascade.parameters():
        nn.init.zeros_(value)
    odds = (0.9, 0.8, 0.4)
    for predictor, odd in zip(cascade.box_predictor, odds, strict=True):
        predictor.cls_score.bias.data[0] = math.log(odd / (1 - odd)) + 0.7
        predictor.cls_score.bias.data[1] = 0.7  # what speaks against a thing counts too
    maps = [torch.zeros(1, 4, side, side) for side in (16, 8, 4)]
    offered = Scored(torch.tensor([[-10.0, 0, 50, 40], [60, 60, 90, 90], [70, 5, 80, 300]]), torch.tensor([0.9, 0.3, 0.6]))
    with torch.no_grad():
        (found,) = cascade.refined(maps, [offered], 100, 120)
    assert torch.allclose(found.boxes, torch.tensor([[0.0, 0, 50, 40], [70, 5, 80, 100]]), atol=1e-4), "0.3 is not sure enough"
    assert torch.allclose(found.scores, torch.tensor([0.9, 0.6]).mul(0.7).sqrt())


def test_each_stage_starts_where_the_one_before_ended() -> None:
    cascade = boxes.Cascade(4, 8)
    for value in cascade.parameters():
        nn.init.zeros_(value)
    for predictor in cascade.box_predictor:
        predictor.cls_score.bias.data[0] = 20.0
        predictor.bbox_pred[2].bias.data[0] = 1.0  # to the right by 1/10, 1/20, 1/30 of the width
    with torch.no_grad():
        maps = [torch.zeros(1, 4, side, side) for side in (16, 8, 4)]
        (found,) = cascade.refined(maps, [Scored(torch.tensor([[0.0, 0, 60, 30]]), torch.ones(1))], 100, 100)
        (edge,) = cascade.refined(maps, [Scored(torch.tensor([[20.0, 0, 80, 30]]), torch.ones(1))], 100, 81)
    assert torch.allclose(found.boxes, torch.tensor([[6 + 3 + 2.0, 0, 60 + 11, 30]]), atol=1e-4)
    left = 26 + 55 / 20  # clipped to a width of 55 after the first stage
    width = 81 - left
    assert edge.boxes[0, 0].item() == pytest.approx(left + width / 30, abs=1e-4)


def test_the_answer_is_sure_single_whole_and_best_first() -> None:
    offered = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [50, 0, 60, 5], [float("nan"), 0, 1, 1]])
    found = boxes.final(offered, torch.tensor([0.6, 0.7, 0.5, 0.9, 0.95]), 40, 45)
    assert torch.equal(found.boxes, torch.tensor([[0.0, 0, 10, 9]])), "0.5 is not more than 0.5; the fourth is outside"
    assert found.scores.tolist() == pytest.approx([0.7])


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


def test_what_is_seen_does_not_depend_on_the_neighbours_in_a_batch(small: Grit) -> None:
    frames = torch.stack([noise(3, 192, 250, seed=n) for n in (1, 2)]).mul(60).add(120).clamp(0, 255)
    together, alone = small(frames), [small(frame[None])[0] for frame in frames]
    assert any(one.names.shape != one.descriptions.shape or (one.names != one.descriptions).any() for one in together)
    for a, b in zip(together, alone, strict=True):
        assert len(a.boxes) == len(b.boxes) > 0
        assert torch.allclose(a.boxes, b.boxes, atol=1e-3)
        width = min(a.names.shape[1], b.names.shape[1])
        assert torch.equal(a.names[:, :width], b.names[:, :width])


def test_nothing_is_seen_where_nothing_is_sure(small: Grit) -> None:
    network = miniature.miniature(1)
    for predictor in network.roi_heads.box_predictor:
        predictor.cls_score.bias[0] -= 20
    (seen,) = network(torch.zeros(1, 3, 64, 64))
    assert seen.boxes.shape == (0, 4)
    assert len(seen.names) == len(seen.descriptions) == 0


def test_a_weight_file_tells_its_own_shape(tmp_path: Path, small: Grit) -> None:
    miniature.write(tmp_path / "grit.pth")
    network = load(tmp_path / "grit.pth")
    assert shape(small.state_dict()) == miniature.SMALL
    for name, value in small.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def rewritten(path: Path, **changes: Tensor | None) -> Path:
    state = dict(miniature.miniature(0).state_dict())
    for name, value in changes.items():
        name = name.replace("__", ".")
        state.pop(name, None)
        if value is not None:
            state[name] = value
    torch.save({"model": state, "iteration": 7}, path)
    return path


def test_names_that_do_not_fit_are_reported_and_the_mask_head_is_not(tmp_path: Path) -> None:
    assert load(rewritten(tmp_path / "a.pth", roi_heads__mask_head__predictor__weight=torch.ones(2), pixel_mean=torch.ones(3)))
    with pytest.raises(UserError, match=r"lacks 'backbone.top_block.p6.weight'"):
        load(rewritten(tmp_path / "b.pth", backbone__top_block__p6__weight=None))
    with pytest.raises(UserError, match=r"holds 'backbone.top_block.p8.weight', which the network has no place for"):
        load(rewritten(tmp_path / "c.pth", backbone__top_block__p8__weight=torch.ones(2)))
    with pytest.raises(UserError, match=r"'backbone.top_block.p6.bias' with shape \(2,\), not"):
        load(rewritten(tmp_path / "d.pth", backbone__top_block__p6__bias=torch.ones(2)))
    with pytest.raises(UserError, match=r"no tensor 'backbone.bottom_up.patch_embed.proj.weight'"):
        load(rewritten(tmp_path / "e.pth", backbone__bottom_up__patch_embed__proj__weight=None))
    with pytest.raises(UserError, match="no weights at"):
        load(tmp_path / "f.pth")
    (tmp_path / "g.pth").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="no whole weight file"):
        load(tmp_path / "g.pth")
