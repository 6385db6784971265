"""Names and shapes: the map of keys on diffusers' real class at the published sizes, and what is recognised by shape."""

from __future__ import annotations

import pytest
from weights import IMAGE, net, wan

from salt_bench.errors import UserError
from salt_train.convert import names
from salt_train.convert.sizes import Sizes, expected, misfit, recognised

SMALL = Sizes(1536, 30, 8960, 16, 16, 4096, 256, (1, 2, 2))
LARGE = Sizes(5120, 40, 13824, 16, 16, 4096, 256, (1, 2, 2))
IMAGES = Sizes(5120, 40, 13824, 36, 16, 4096, 256, (1, 2, 2), image=1280)
ENDS = Sizes(5120, 40, 13824, 36, 16, 4096, 256, (1, 2, 2), image=1280, places=514)
MODELS = {"Wan 2.1 T2V 1.3B": (SMALL, 825), "Wan 2.1 T2V 14B": (LARGE, 1095), "Wan 2.1 I2V 14B": (IMAGES, 1303)}

ENDINGS = ("weight", "bias")
NORMS = ("self_attn.norm_q", "self_attn.norm_k", "cross_attn.norm_q", "cross_attn.norm_k")
LINEAR = ("norm3", "ffn.0", "ffn.2", *(f"{kind}_attn.{x}" for kind in ("self", "cross") for x in "qkvo"))
TOP = ("patch_embedding", "text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2", "time_projection.1")
WAN_BLOCK = ["modulation", *(f"{x}.{end}" for x in LINEAR for end in ENDINGS), *(f"{x}.weight" for x in NORMS)]
WAN_IMAGE_BLOCK = [f"cross_attn.{x}" for x in ("k_img.weight", "k_img.bias", "v_img.weight", "v_img.bias", "norm_k_img.weight")]
WAN_TOP = ["head.modulation", *(f"{x}.{end}" for x in (*TOP, "head.head") for end in ENDINGS)]
WAN_IMAGE_TOP = [f"img_emb.proj.{n}.{end}" for n in (0, 1, 3, 4) for end in ENDINGS]


def wan_keys(sizes: Sizes) -> set[str]:
    """What Wan calls its parameters, written down from its own modules."""
    block = WAN_BLOCK + (WAN_IMAGE_BLOCK if sizes.image else [])
    top = WAN_TOP + (WAN_IMAGE_TOP if sizes.image else []) + (["img_emb.emb_pos"] if sizes.places else [])
    return {*top, *(f"blocks.{i}.{key}" for i in range(sizes.layers) for key in block)}


@pytest.mark.parametrize(("model", "sizes", "count"), [(model, *rest) for model, rest in MODELS.items()], ids=list(MODELS))
def test_every_key_of_a_published_size_has_its_partner(model: str, sizes: Sizes, count: int) -> None:
    shapes = dict(expected(sizes))
    wans = wan_keys(sizes)
    assert len(wans) == len(shapes) == count
    assert {names.to_diffusers(key) for key in wans} == set(shapes)
    assert {names.to_wan(key) for key in shapes} == wans
    assert recognised(shapes) == sizes
    assert sizes.model == model
    assert not misfit(shapes, sizes)


def test_1_3b_has_1_419_billion_numbers() -> None:
    import math

    assert sum(math.prod(shape) for _, shape in expected(SMALL)) == 1_418_996_800


def test_first_and_last_frames_are_told_from_one_image() -> None:
    shapes = dict(expected(ENDS))
    assert (recognised(shapes), ENDS.model, len(shapes)) == (ENDS, "Wan 2.1 FLF2V 14B", 1304)
    assert {names.to_wan(key) for key in shapes} == wan_keys(ENDS)


def test_some_pairs_by_hand() -> None:
    pairs = {
        "blocks.7.norm3.weight": "blocks.7.norm2.weight",
        "blocks.0.modulation": "blocks.0.scale_shift_table",
        "head.modulation": "scale_shift_table",
        "blocks.12.self_attn.o.bias": "blocks.12.attn1.to_out.0.bias",
        "blocks.3.cross_attn.norm_k_img.weight": "blocks.3.attn2.norm_added_k.weight",
        "img_emb.proj.4.bias": "condition_embedder.image_embedder.norm2.bias",
        "img_emb.emb_pos": "condition_embedder.image_embedder.pos_embed",
        "time_projection.1.weight": "condition_embedder.time_proj.weight",
    }
    assert {names.to_diffusers(key) for key in pairs} == set(pairs.values())
    assert all((names.to_diffusers(a), names.to_wan(b)) == (b, a) for a, b in pairs.items())


def test_wrapping_comes_off_keys_wherever_it_stands() -> None:
    key = "blocks.0.self_attn.q.weight"
    for wrapped in (
        f"model.{key}",
        f"module.model.{key}",
        f"net.{key}",
        f"_orig_mod.{key}",
        f"model._fsdp_wrapped_module.{key}",
        "model._fsdp_wrapped_module.blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module.self_attn.q.weight",
        f"module._orig_mod.model.{key}",
        f"base_model.model.{key}",
        f"model.diffusion_model.{key}",
    ):
        assert names.plain(wrapped) == key
    assert names.plain("condition_embedder.time_proj.weight") == "condition_embedder.time_proj.weight"


def test_whose_names_they_are() -> None:
    assert names.layout(wan()) == "wan"
    assert names.layout(net().state_dict()) == "diffusers"
    assert names.layout(["encoder.layers.0.attn.weight", "lm_head.weight"]) is None


def test_many_keys_are_named_in_a_few_words() -> None:
    keys = [f"blocks.{i}.to_gate.weight" for i in (0, 1, 2, 5)] + ["head.x", "blocks.3.norm3.bias"]
    assert names.grouped(keys) == "blocks.{0-2,5}.to_gate.weight, blocks.3.norm3.bias, head.x"
    assert names.grouped([]) == ""


def test_tiny_and_image_networks_are_recognised() -> None:
    shapes = {key: tuple(t.shape) for key, t in net(**IMAGE).state_dict().items()}
    sizes = recognised(shapes)
    assert (sizes.width, sizes.layers, sizes.channels, sizes.image) == (128, 3, 36, 20)
    assert sizes.model == "no published size of Wan 2.1 (I2V)"
    assert not misfit(shapes, sizes)
    with pytest.raises(UserError, match=r"with a width that 128 divides, got \(24, 36, 1, 2, 2\)"):
        recognised(shapes | {"patch_embedding.weight": (24, 36, 1, 2, 2)})


def test_a_foreign_number_of_a_block_does_not_build_a_giant() -> None:
    shapes = {key: tuple(t.shape) for key, t in net().state_dict().items()} | {"blocks.999999.x": (1,)}
    with pytest.raises(UserError, match="4 blocks, numbered up to 999999"):
        recognised(shapes)
