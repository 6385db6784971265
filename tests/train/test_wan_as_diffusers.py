"""Our sampler of Wan against diffusers' own pipeline: equal captions, noise, network, guidance and VAE make the same video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pipeline import WORDS, small, tiny_pipeline
from safetensors.torch import load_file, save_file

from salt_bench.samplers.diffusers_pipeline import DiffusersPipeline
from salt_bench.samplers.pipeline_settings import Settings
from salt_bench.types import Prompt
from salt_train.codecs.umt5 import NEGATIVE, UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.flow import even
from salt_train.setups import wan21

PROMPTS = [Prompt("red", "a red square", "x"), Prompt("both", "a blue  cross &amp; a green one", "x")]
FRAMES, HEIGHT, WIDTH, SHIFT = 21, 48, 32, 5.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose captions are loud: of 512 tokens of a random network nobody would hear three."""
    folder = tiny_pipeline(tmp_path_factory.mktemp("as_diffusers"))
    path = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors["encoder.final_layer_norm.weight"] *= 1000
    save_file(tensors, path, {"format": "pt"})
    return folder


def euler(steps: int, shift: float = SHIFT) -> tuple[float, ...]:
    """The noise levels of diffusers' Euler scheduler, the final 0 left out."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(steps)
    return tuple(float(sigma) for sigma in scheduler.sigmas[:-1])


@pytest.mark.parametrize(("steps", "guidance"), [(1, 1.0), (4, 1.0), (3, 5.0)])
def test_both_make_the_same_videos(steps: int, guidance: float, folder: Path) -> None:
    recipe = small(wan21.SMALL_RECIPE, folder)
    grid = euler(steps)
    assert steps > 1 or grid == even(1, SHIFT)
    ours = replace(
        recipe,
        codec=WanVAE(str(folder), FRAMES, HEIGHT, WIDTH),
        text=UMT5(str(folder), WORDS, 512),
        sampling=replace(recipe.sampling, grid=grid, guidance=guidance),
    )
    theirs = DiffusersPipeline(str(folder), Settings(steps, guidance, FRAMES, HEIGHT, WIDTH, negative=NEGATIVE))
    for seed in (0, 1):
        pairs = zip(ours.sampler(0, folder)(PROMPTS, seed), theirs.sampler(0, folder)(PROMPTS, seed), strict=True)
        for own, other in pairs:
            a, b = own.frames().astype(int), other.frames().astype(int)
            assert a.shape == (FRAMES, HEIGHT, WIDTH, 3)
            assert np.abs(a - b).max() <= 1
            assert (own.fps, own.nfe) == (other.fps, other.nfe) == (16.0, steps * (2 if guidance > 1 else 1))
            assert a.std() > 1


def test_the_comparison_sees_captions(folder: Path) -> None:
    theirs = DiffusersPipeline(str(folder), Settings(3, 5.0, FRAMES, HEIGHT, WIDTH, negative=NEGATIVE))
    plain = DiffusersPipeline(str(folder), Settings(3, 5.0, FRAMES, HEIGHT, WIDTH))
    usual, other = (next(arm.sampler(0, folder)(PROMPTS, 0)).frames().astype(int) for arm in (theirs, plain))
    assert np.abs(usual - other).mean() > 1, "the negative caption counts"
    red = PROMPTS[0]
    said = next(theirs.sampler(0, folder)([replace(red, text="snow")], 0)).frames().astype(int)
    assert np.abs(usual - said).mean() > 1, "the caption counts"
