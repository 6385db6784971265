"""Pipelines of diffusers' own classes with tiny random weights, each saved as its folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from pipeline import TINY, WORDS, text_encoder, tokenizer, vae


def _saved(pipeline: Any, folder: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):
        pipeline.save_pretrained(folder)
    return folder


SHALLOW = TINY | {"num_layers": 1}


def wan_i2v(folder: Path) -> Path:
    """Wan 2.1's image-to-video: 36 channels, and what CLIP sees in the picture."""
    from diffusers import FlowMatchEulerDiscreteScheduler, WanImageToVideoPipeline, WanTransformer3DModel
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(1)
    sees = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    net = WanTransformer3DModel(**SHALLOW | {"in_channels": 36, "image_dim": 8, "added_kv_proj_dim": 24})
    prepares = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    steps = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return _saved(
        WanImageToVideoPipeline(tokenizer(), text_encoder(), vae(), steps, prepares, CLIPVisionModel(sees), net), folder
    )


def skyreels(folder: Path) -> Path:
    """SkyReels-V2, text to video."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SkyReelsV2Pipeline, SkyReelsV2Transformer3DModel

    torch.manual_seed(2)
    net = SkyReelsV2Transformer3DModel(**SHALLOW)
    return _saved(
        SkyReelsV2Pipeline(tokenizer(), text_encoder(), net, vae(), FlowMatchEulerDiscreteScheduler(shift=8.0)), folder
    )


def forcing(folder: Path) -> Path:
    """SkyReels-V2 with a noise level of its own for each frame."""
    from diffusers import SkyReelsV2DiffusionForcingPipeline, SkyReelsV2Transformer3DModel, UniPCMultistepScheduler

    torch.manual_seed(4)
    steps = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    net = SkyReelsV2Transformer3DModel(**SHALLOW)
    return _saved(SkyReelsV2DiffusionForcingPipeline(tokenizer(), text_encoder(), net, vae(), steps), folder)


def anyflow(folder: Path) -> Path:
    """AnyFlow's flow map on Wan."""
    from diffusers import AnyFlowPipeline, AnyFlowTransformer3DModel, FlowMapEulerDiscreteScheduler

    torch.manual_seed(5)
    net = AnyFlowTransformer3DModel(**SHALLOW)
    return _saved(AnyFlowPipeline(tokenizer(), text_encoder(), net, vae(), FlowMapEulerDiscreteScheduler()), folder)


def helios(folder: Path) -> Path:
    """Helios at one scale; it makes whole chunks of 33 frames."""
    from diffusers import HeliosPipeline, HeliosScheduler, HeliosTransformer3DModel

    torch.manual_seed(6)
    net = HeliosTransformer3DModel(**SHALLOW, rope_dim=(4, 4, 4))
    return _saved(
        HeliosPipeline(tokenizer(), text_encoder(), vae(), HeliosScheduler(stages=1, stage_range=[0, 1]), net), folder
    )


def _ltx_parts() -> tuple[Any, ...]:
    from diffusers import AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXVideoTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(3)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8), layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5, spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False), decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4, upsample_factor=(1,) * 4, timestep_conditioning=False, patch_size=1, patch_size_t=1,
    )  # fmt: skip
    net = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16, num_layers=1,
        caption_channels=WORDS,
    )  # fmt: skip
    text = T5EncoderModel(T5Config(vocab_size=40, d_model=WORDS, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    return FlowMatchEulerDiscreteScheduler(), vae, text, tokenizer(), net


def ltx(folder: Path) -> Path:
    """LTX-Video: packed latents, T5, a frame rate that its network is told."""
    from diffusers import LTXPipeline

    return _saved(LTXPipeline(*_ltx_parts()), folder)


def ltx_i2v(folder: Path) -> Path:
    """LTX-Video from a picture."""
    from diffusers import LTXImageToVideoPipeline

    return _saved(LTXImageToVideoPipeline(*_ltx_parts()), folder)
