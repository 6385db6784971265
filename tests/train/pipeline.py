"""A Wan 2.1 pipeline folder in diffusers' layout with tiny random weights, and Wan recipes that run on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.recipe import Recipe

WORDS, TOKENS = 16, 6
CAPTIONS = "a red square\na blue cross &amp; a  green one\n\nsnow\n"
PARTS = {
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    "text_encoder": ("transformers", "UMT5EncoderModel"),
    "tokenizer": ("transformers", "PreTrainedTokenizerFast"),
    "transformer": ("diffusers", "WanTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLWan"),
}
TINY = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16,
    "text_dim": WORDS, "freq_dim": 16, "ffn_dim": 32, "num_layers": 2,
}  # fmt: skip
"""What a transformer of Wan's kind is made with."""


def tiny_pipeline(folder: Path) -> Path:
    """A whole `WanPipeline`, its parts of the real classes."""
    from diffusers import FlowMatchEulerDiscreteScheduler, WanTransformer3DModel

    torch.manual_seed(0)
    WanTransformer3DModel(**TINY).save_pretrained(folder / "transformer")
    text_encoder().save_pretrained(folder / "text_encoder")
    vae().save_pretrained(folder / "vae")
    tokenizer().save_pretrained(folder / "tokenizer")
    FlowMatchEulerDiscreteScheduler(shift=5.0).save_pretrained(folder / "scheduler")
    index = {"_class_name": "WanPipeline", **{name: list(kind) for name, kind in PARTS.items()}}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def text_encoder():  # type: ignore[no-untyped-def]
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(UMT5Config(vocab_size=40, d_model=WORDS, d_kv=8, d_ff=16, num_layers=1, num_heads=2))


def vae():  # type: ignore[no-untyped-def]
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(base_dim=4, z_dim=16, num_res_blocks=1)


def tokenizer():  # type: ignore[no-untyped-def]
    """Splits at white space and knows a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "a", "red", "blue", "green", "square", "cross", "one", "snow", "&"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")


def small(recipe: Recipe, folder: Path, steps: int = 1) -> Recipe:
    """The very same recipe on the tiny pipeline in `folder`: other networks, short clips, few updates."""
    captions = folder / "captions.txt"
    captions.write_text(CAPTIONS)
    stages = {name: stage and small(stage, folder, steps) for name, stage in _stages(recipe).items()}
    return replace(
        recipe,
        world=replace(recipe.world, path=str(captions)),
        codec=WanVAE(str(folder), frames=21, height=32, width=32),
        text=UMT5(str(folder), WORDS, TOKENS),
        backbone=replace(recipe.backbone, width=24, heads=2, layers=2, hidden=32, frequencies=16),
        objectives=tuple(_reachable(term) for term in recipe.objectives),
        steps=min(recipe.steps, steps),
        batch=2,
        weights=recipe.weights and str(folder),
        **stages,
    )


def _stages(recipe: Recipe) -> dict[str, Recipe | None]:
    return {"teacher": recipe.teacher, "init": recipe.init, "critic_init": recipe.critic_init}


def _reachable(term):  # type: ignore[no-untyped-def]
    """Alignment begins at once, behind a block that the tiny network has."""
    return replace(term, start=0, term=replace(term.term, tap=1)) if getattr(term, "start", 0) else term
