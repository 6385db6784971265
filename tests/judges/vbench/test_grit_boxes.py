"""From maps to boxes: GRiT's proposals, pooling and cascade, against torchvision and answers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from grit_parts import noise, randomised
from torch import nn

from salt_bench.judges.vbench.networks.grit import boxes, miniature, proposals
from salt_bench.judges.vbench.networks.grit.model import Grit
from salt_bench.judges.vbench.networks.grit.proposals import Scored


@pytest.fixture(scope="module")
def small() -> Grit:
    return miniature.miniature(0)


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
