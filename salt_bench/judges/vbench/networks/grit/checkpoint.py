"""`grit_b_densecap_objectdet.pth` to a network. Depths and widths are read off the tensors, so small files load as well.

The names of the tensors are not verified against the released file; a name that does not fit is reported.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks.grit.model import Grit, Shape
from salt_bench.judges.vbench.networks.loading import UNVERIFIED, State, count, empty, fill, read

UNREAD = ("roi_heads.mask_head.", "text_decoder_det.", "pixel_mean", "pixel_std")
"""The mask head, which no dimension reads; a second name of the text decoder; constants."""
TEXT = "roi_heads.text_decoder.textual."
HEAD = 64  # width of one attention head of the text decoder, in every BERT of the family


def shape(state: State) -> Shape:
    """What the tensors' shapes say of the network."""
    body = "backbone.bottom_up."
    tables = [state[f"{body}blocks.{n}.attn.rel_pos_h"].shape for n in range(count(state, f"{body}blocks."))]
    width, _, patch, _ = state[f"{body}patch_embed.proj.weight"].shape
    vocabulary, text = state[f"{TEXT}embedding.words.weight"].shape
    return Shape(
        width=width,
        heads=width // tables[0][1],
        inner=len(state[f"{body}blocks.0.mlp.fc1.weight"]),
        reaches=tuple((rows + 1) // 2 for rows, _ in tables),
        patch=patch,
        grid=round((state[f"{body}pos_embed"].shape[1] - 1) ** 0.5),
        channels=len(state["backbone.fpn_stride16_conv1.weight"]),
        box=len(state["roi_heads.box_head.0.fc1.weight"]),
        vocabulary=vocabulary,
        places=len(state[f"{TEXT}embedding.positions.weight"]),
        text_depth=count(state, f"{TEXT}transformer.encoder.layer."),
        text_width=text,
        text_heads=text // HEAD,
        text_inner=len(state[f"{TEXT}transformer.encoder.layer.0.intermediate.dense.weight"]),
    )


@lru_cache(maxsize=1)
def load(path: Path, device: str = "cpu") -> Grit:
    """The network in a weight file."""
    state = read(path, inside="model", bare=True)
    try:
        found = shape(state)
    except (KeyError, IndexError) as error:
        raise UserError(f"{path.name} has no tensor {error}: is it GRiT's? Names may differ from what is known") from error
    return fill(empty(lambda: Grit(found)), state, path, UNREAD, UNVERIFIED).to(device)
