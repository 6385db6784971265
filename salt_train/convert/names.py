"""What the parameters of Wan 2.1 are called: by Wan, by diffusers, and with what trainers put in front."""

from __future__ import annotations

import re
from collections.abc import Iterable

LAYOUTS = ("diffusers", "wan")

RULES = (
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("head.modulation", "scale_shift_table"),
    ("head.head", "proj_out"),
    (".modulation", ".scale_shift_table"),  # the dot keeps the blocks' tables apart from the head's on the way back
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("norm2", "<norm>"),  # Wan's norm3, the affine one before cross attention, is diffusers' norm2
    ("norm3", "norm2"),
    ("<norm>", "norm3"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
    ("self_attn.q", "attn1.to_q"),
    ("self_attn.k", "attn1.to_k"),
    ("self_attn.v", "attn1.to_v"),
    ("self_attn.o", "attn1.to_out.0"),
    ("self_attn.norm_q", "attn1.norm_q"),
    ("self_attn.norm_k", "attn1.norm_k"),
    ("cross_attn.q", "attn2.to_q"),
    ("cross_attn.k", "attn2.to_k"),
    ("cross_attn.v", "attn2.to_v"),
    ("cross_attn.o", "attn2.to_out.0"),
    ("cross_attn.norm_q", "attn2.norm_q"),
    ("cross_attn.norm_k", "attn2.norm_k"),
    ("attn2.to_k_img", "attn2.add_k_proj"),  # after the rules for text, which turn cross_attn.k_img into attn2.to_k_img
    ("attn2.to_v_img", "attn2.add_v_proj"),
    ("attn2.norm_k_img", "attn2.norm_added_k"),
)
"""Substrings (Wan's, diffusers'), replaced in this order; backwards in the reversed order. `patch_embedding` and `blocks.N`
are the same in both, and no parameter is split or transposed."""

WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")
"""What sharding, activation checkpointing and compilation leave anywhere in a key."""
LEADING = ("base_model.model.", "diffusion_model.", "model.", "module.", "net.")
"""What holders of a network leave in front of its keys."""


def to_diffusers(key: str) -> str:
    """Diffusers' name of a parameter that Wan calls `key`."""
    for wan, diffusers in RULES:
        key = key.replace(wan, diffusers)
    return key


def to_wan(key: str) -> str:
    """Wan's name of a parameter that diffusers calls `key`."""
    for wan, diffusers in reversed(RULES):
        key = key.replace(diffusers, wan)
    return key


def plain(key: str) -> str:
    """`key` without what wrappers and holders added to it."""
    for wrapper in WRAPPERS:
        key = key.replace(wrapper, "")
    while head := _head(key):
        key = key.removeprefix(head)
    return key


def wrapping(keys: Iterable[str]) -> tuple[str, ...]:
    """All that wrappers and holders added to any of `keys`, holders first, from the outside in."""
    heads: dict[str, None] = {}
    inside: set[str] = set()
    for key in keys:
        inside |= {wrapper for wrapper in WRAPPERS if wrapper in key}
        for wrapper in inside:
            key = key.replace(wrapper, "")
        while head := _head(key):
            heads[head] = None
            key = key.removeprefix(head)
    return (*heads, *(wrapper for wrapper in WRAPPERS if wrapper in inside))


def _head(key: str) -> str:
    return next((head for head in LEADING if key.startswith(head)), "")


def layout(keys: Iterable[str]) -> str | None:
    """Who named these plain keys, "wan" or "diffusers"; None where neither did."""
    marks = {
        "diffusers": (".attn1.", ".attn2.", "condition_embedder."),
        "wan": (".self_attn.", ".cross_attn.", "time_embedding."),
    }
    text = "\n".join(f".{key}" for key in keys)
    return next((name for name, substrings in marks.items() if any(s in text for s in substrings)), None)


def grouped(keys: Iterable[str]) -> str:
    """All `keys` in a few words: those that differ in the number of their block alone share one entry."""
    blocks: dict[str, list[int]] = {}
    for key in sorted(keys):
        found = re.match(r"blocks\.(\d+)\.(.+)", key)
        blocks.setdefault(f"blocks.{{}}.{found[2]}" if found else key, []).append(int(found[1]) if found else -1)
    return ", ".join(pattern.replace("{}", _ranges(sorted(numbers)), 1) for pattern, numbers in blocks.items())


def _ranges(numbers: list[int]) -> str:
    """0, 1, 2, 5 as "{0-2,5}", a single number as itself."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    said = ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)
    return said if len(numbers) == 1 else "{" + said + "}"
