"""GRiT's backbone, the whole of it and its weight files, against parts that others keep; there are no released numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from grit_parts import noise, randomised
from torch import Tensor, nn

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks.grit import miniature, text, vit
from salt_bench.judges.vbench.networks.grit.checkpoint import load, shape
from salt_bench.judges.vbench.networks.grit.fpn import ChannelNorm, Pyramid
from salt_bench.judges.vbench.networks.grit.model import Grit, Shape, padded

MASK_HEAD = 4 * (256 * 256 * 9 + 256) + (256 * 256 * 4 + 256) + (256 + 1)
"""Parameters of the usual mask head, which the released network has and ours has not: four convolutions, one up, one out."""


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
