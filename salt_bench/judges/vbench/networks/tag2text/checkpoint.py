"""`tag2text_swin_14m.pth` to a network. Depths and widths are read off the tensors, so small files load as well.

The names of the tensors are not verified against the released file; a name that does not fit is reported.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from salt_bench.errors import UserError
from salt_bench.judges.vbench.networks.loading import UNVERIFIED, State, count, empty, fill, read
from salt_bench.judges.vbench.networks.tag2text.model import Shape, Tag2Text
from salt_bench.judges.vbench.networks.tag2text.swin import stretched

UNREAD = (
    "tagging_head.",  # a second name for the first layers of the tags' encoder
    "image_proj.",
    "visual_encoder.head.",
    "attn_mask",
    "relative_position_index",
    "position_ids",
    "cls.predictions.bias",  # a second name of decoder.bias
)
TABLE = "relative_position_bias_table"
HEAD = 64  # width of one attention head of the text stacks


def shape(state: State) -> Shape:
    """What the tensors' shapes say of the network. The window is not among it: tables of another one are stretched."""
    stages = range(count(state, "visual_encoder.layers."))
    vocabulary, text = state["text_decoder.bert.embeddings.word_embeddings.weight"].shape
    return Shape(
        embed=len(state["visual_encoder.patch_embed.proj.weight"]),
        depths=tuple(count(state, f"visual_encoder.layers.{stage}.blocks.") for stage in stages),
        heads=tuple(state[f"visual_encoder.layers.{stage}.blocks.0.attn.{TABLE}"].shape[1] for stage in stages),
        tags=len(state["label_embed.weight"]),
        vocabulary=vocabulary,
        places=len(state["text_decoder.bert.embeddings.position_embeddings.weight"]),
        encoder_depth=count(state, "tag_encoder.encoder.layer."),
        decoder_depth=count(state, "text_decoder.bert.encoder.layer."),
        text_width=text,
        text_heads=text // HEAD,
        text_inner=len(state["tag_encoder.encoder.layer.0.intermediate.dense.weight"]),
    )


@lru_cache(maxsize=1)
def load(path: Path, device: str = "cpu") -> Tag2Text:
    """The network in a weight file."""
    state = read(path, inside="model", bare=True)
    try:
        found = shape(state)
    except (KeyError, IndexError) as error:
        raise UserError(f"{path.name} has no tensor {error}: is it Tag2Text's? Names may differ from what is known") from error
    fitting = {name: stretched(value, found.window) if name.endswith(TABLE) else value for name, value in state.items()}
    return fill(empty(lambda: Tag2Text(found)), fitting, path, UNREAD, UNVERIFIED).to(device)
