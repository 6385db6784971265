"""Wan 2.1: the paper's constants as data, and the very same recipes on a tiny random pipeline of the real classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline import CAPTIONS, TOKENS, WORDS, small, tiny_pipeline
from tiny import contents, quiet

from salt_bench import files, record, videos
from salt_bench.errors import UserError, WrongUse
from salt_bench.rng import Draws
from salt_bench.types import ArrayClip, Prompt
from salt_train import codecs, lora, setups
from salt_train.codecs.umt5 import NEGATIVE, UMT5, UMT5Captions, tidy
from salt_train.codecs.wan_vae import WanVAE
from salt_train.flow import grid
from salt_train.methods import methods
from salt_train.methods.causal_forcing import causal_forcing
from salt_train.methods.dmd import dmd
from salt_train.methods.longlive import longlive
from salt_train.methods.salt_longlive import salt_longlive
from salt_train.methods.salt_self_forcing import salt_self_forcing
from salt_train.methods.self_forcing import self_forcing
from salt_train.objectives.cache_alignment import CacheAlignment
from salt_train.objectives.dmd import DMD
from salt_train.objectives.gate import Gate
from salt_train.objectives.self_consistency import SelfConsistency
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Recipe
from salt_train.sampler import FlowSampler
from salt_train.train import build, train

ALL = {name: function for name, function in methods().items() if name != "teacher"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipeline(tmp_path_factory.mktemp("wan"))


@pytest.mark.parametrize("name", ALL)
def test_a_wan_recipe_is_data(name: str) -> None:
    recipe = ALL[name](setup="wan21")
    assert record.load(record.dump(recipe)) == recipe
    assert (recipe.codec.shape(), recipe.batch, recipe.critic_updates) == ((16, 21, 60, 104), 64, 5)
    assert recipe.teacher is not None
    assert recipe.critic_init is not None
    assert (recipe.teacher.backbone.width, recipe.critic_init.backbone.width, recipe.backbone.width) == (5120, 1536, 1536)
    assert recipe.objectives[0] == DMD(guidance=4.0, shift=5.0, clamp=(0.02, 0.98))
    assert recipe.optimiser.betas == (0.0, 0.999)
    assert recipe.sampling.grid == pytest.approx((1, 0.9375, 0.8333, 0.625), abs=1e-4)


def test_the_papers_constants_stand_in_the_recipes() -> None:
    recipe = salt_self_forcing(setup="wan21")
    assert [term.weight for term in recipe.objectives] == [1.0, 0.2, 0.1]
    assert [(len(g), odds) for g, odds in recipe.mixed] == [(8, 0.4), (4, 0.4), (2, 0.2)]
    _, consistency, alignment = recipe.objectives
    assert consistency == Gate(SelfConsistency(0.2, "released", "composed", "released"), points=(8,))
    assert isinstance(alignment, Gate)
    assert alignment.start * 5 == 1000
    assert isinstance(alignment.term, CacheAlignment)
    assert (alignment.term.tap, alignment.term.margin, alignment.term.reach) == (20, 0.1, 0.2)
    assert (recipe.optimiser.rate, recipe.critic and recipe.critic.rate, recipe.optimiser.clip) == (2e-6, 4e-7, 10)
    assert (recipe.ema, recipe.ema_from * 5) == (0.99, 200)
    assert recipe.chunks is not None
    assert recipe.chunks.size == 3
    assert self_forcing(setup="wan21").steps * 5 == 600


def test_longlive_has_its_window_and_its_stream() -> None:
    recipe = longlive(setup="wan21")
    assert recipe.chunks is not None
    assert recipe.stream is not None
    assert vars(recipe.chunks.cache) | {"window": 12, "sink": 3} == vars(recipe.chunks.cache)
    assert (recipe.stream.new, recipe.stream.longest, recipe.optimiser.rate) == (18, 240, 1e-5)
    salted = salt_longlive(setup="wan21").init
    assert salted is not None
    assert [type(term).__name__ for term in salted.objectives] == ["DMD", "Gate", "Gate"]


def test_the_stages_of_causal_forcing_have_their_own_numbers() -> None:
    ar, ode, cd = (causal_forcing(stage, setup="wan21") for stage in ("ar", "ode", "cd"))
    assert (ar.steps, ode.steps, cd.steps) == (2000, 1000, 3000)
    assert (ode.objectives[0].guidance, cd.objectives[0].guidance) == (6.0, 3.0)  # type: ignore[attr-defined]
    assert len(ode.objectives[0].path) == 48  # type: ignore[attr-defined]
    assert set(grid([1000, 750, 500, 250], 5.0)) <= set(ode.objectives[0].path)  # type: ignore[attr-defined]
    assert (ar.ema, cd.ema) == (0.0, 0.99)


def test_an_unknown_setup_is_named() -> None:
    with pytest.raises(WrongUse, match=r"no setup 'wan2'; did you mean 'wan21'\?"):
        setups.setup("wan2")


# --- the parts, on real classes ----------------------------------------------------------------------------------------------


def test_the_vae_normalises_and_inverts_its_shapes(folder: Path) -> None:
    codec = WanVAE(str(folder), frames=9, height=16, width=32)
    weights = codecs.fitted(codec, folder)
    frames = torch.randint(0, 256, (1, 9, 16, 32, 3), dtype=torch.uint8)
    latents = weights.encode(frames)
    assert latents.shape == (1, *codec.shape()) == (1, 16, 3, 2, 4)
    raw = weights.vae.encode(frames.movedim(-1, 1).float() / 127.5 - 1).latent_dist.mode()
    mean, scale = (
        torch.tensor(v).view(1, -1, 1, 1, 1) for v in (weights.vae.config.latents_mean, weights.vae.config.latents_std)
    )
    assert torch.allclose(latents * scale + mean, raw, atol=1e-5)
    assert float(mean[0, 7]) == pytest.approx(1.5508)
    decoded = weights.decode(latents)
    assert (decoded.shape, decoded.dtype) == (frames.shape, torch.uint8)


def test_latent_frames_begin_at_0_1_5_9() -> None:
    codec = WanVAE("", frames=81)
    assert [codec.latent_from(frame) for frame in (0, 1, 2, 5, 6, 9, 10)] == [0, 1, 2, 2, 3, 3, 4]
    with pytest.raises(ValueError, match=r"Wan's clips have 4n \+ 1 frames and sides that 16 divides, got 80 of 480×832"):
        WanVAE("", frames=80)


def test_captions_are_read_once_and_padded_with_zeros(folder: Path) -> None:
    world = PromptFile(str(folder / "read.txt"))
    Path(world.path).write_text(CAPTIONS)
    captions = codecs.captions(world, UMT5(str(folder), WORDS, TOKENS))
    assert isinstance(captions, UMT5Captions)
    first, second, _ = world.prompts("train")
    found = captions([first, second])
    assert found.shape == (2, TOKENS, WORDS)
    assert bool((found[0, :3] != 0).any(1).all())
    assert not found[0, 3:].any()
    assert captions([first])[0] is not found[0]
    assert torch.equal(captions([first])[0], found[0])
    assert captions.null(found).shape == found.shape
    assert NEGATIVE in captions.known
    assert tidy("a  red &amp;amp; square\n") == "a red & square"


def test_a_prompt_file_draws_its_lines(tmp_path: Path) -> None:
    world = PromptFile(str(tmp_path / "captions.txt"))
    with pytest.raises(UserError, match="No such file"):
        world.prompts("train")
    Path(world.path).write_text(CAPTIONS)
    assert [p.id for p in world.prompts("train")] == ["prompt_file:1", "prompt_file:2", "prompt_file:4"]
    drawn = [p.text for p in world.batch(Draws(0)("x"), 60)]
    assert set(drawn) == {"a red square", "a blue cross &amp; a  green one", "snow"}
    assert drawn == [p.text for p in world.batch(Draws(0)("x"), 60)]
    with pytest.raises(UserError, match="captions and no videos"):
        world.render(world.prompts("train"), 0)


# --- the recipes, with the model swapped -------------------------------------------------------------------------------------

RUNS: dict[str, Callable[[], Recipe]] = {
    "dmd": lambda: dmd(setup="wan21"),
    "salt_self_forcing": lambda: salt_self_forcing(setup="wan21"),
    "longlive": lambda: longlive(setup="wan21"),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_same_recipe_trains_on_a_tiny_pipeline(name: str, folder: Path, tmp_path: Path) -> None:
    recipe = small(RUNS[name](), folder)
    recipe = replace(recipe, mixed=recipe.mixed[1:2] and ((recipe.mixed[1][0], 1.0),))  # 4 steps, where alignment speaks
    for stage in recipe.before:
        stage.prepare(0, tmp_path, quiet)
    made = train(recipe, tmp_path / "checkpoints", quiet)
    assert "student.safetensors" in contents(made)
    nets = build(recipe, tmp_path / "checkpoints")
    assert nets.teacher is not None
    start, taught = lora.merged(nets.critics[0].state_dict(), recipe.lora), nets.teacher.state_dict()
    assert start.keys() == taught.keys()
    assert all(torch.equal(start[name], tensor) for name, tensor in taught.items())
    clip = next(iter(FlowSampler.load(recipe, tmp_path / "checkpoints")(recipe.world.prompts("train")[:1], 0)))
    assert clip.frames().shape == (21, 32, 32, 3)
    assert clip.fps == 16.0


def test_teacher_forcing_learns_from_a_folder_of_videos_encoded_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALT_CACHE", str(tmp_path / "cache"))
    films, draw = tmp_path / "films", np.random.default_rng(0)
    for text in ("a red square", "snow"):
        pixels = draw.integers(0, 256, (21, 32, 32, 3), dtype=np.uint8)
        clip = ArrayClip(Prompt(text, text, ""), 0, pixels, 16.0)
        files.write_bytes(films / f"{text}-0.mp4", videos.encoded(clip, videos.LOSSLESS))
    recipe = small(causal_forcing("ar", setup="wan21"), folder, steps=3)
    (tmp_path / "captions.txt").write_text("a red square\nsnow\n")
    world = PromptFile(str(tmp_path / "captions.txt"), videos=str(films))
    recipe = replace(recipe, world=world)
    assert record.load(record.dump(recipe)) == recipe
    assert np.array_equal(world.render(world.prompts("train")[1:], 5)[0], pixels)
    made = train(recipe, tmp_path / "checkpoints", quiet)
    assert len(contents(made)["log.jsonl"].splitlines()) == 3
    assert len(list((tmp_path / "cache" / "latents").rglob("*.safetensors"))) == 2, "six clips, two videos"


def test_a_folder_of_videos_names_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a\nb\n")
    world = PromptFile(str(tmp_path / "captions.txt"), videos=str(tmp_path))
    for text, frames in (("a", 5), ("b", 9)):
        clip = ArrayClip(Prompt(text, text, ""), 0, np.zeros((frames, 16, 16, 3), np.uint8), 16.0)
        files.write_bytes(tmp_path / f"{text}-0.mp4", videos.encoded(clip))
    with pytest.raises(UserError, match=r"differ in frames, height or width \(5×16×16, 9×16×16\)"):
        world.render(world.prompts("train"), 0)
    assert world.render(world.prompts("train"), 0, 5).shape == (2, 5, 16, 16, 3)
    with pytest.raises(UserError, match=r"holds no video of 'c'; add c-0\.mp4"):
        world.render([Prompt("c", "c", "")], 0)
    (tmp_path / "a-0.mp4").write_bytes(b"no film")
    with pytest.raises(UserError, match=r"a-0\.mp4 is no video that can be read"):
        world.render(world.prompts("train")[:1], 0)


def test_published_weights_are_what_the_network_has(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    released = small(setups.setup("wan21").teacher, folder)
    sampler = FlowSampler.load(released, tmp_path)
    there = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    here = sampler.net.state_dict()
    assert {f"net.{name}" for name in there} == set(here)
    assert all(torch.equal(here[f"net.{name}"], tensor) for name, tensor in there.items())
    assert released.prepare(0, tmp_path, quiet) is False
    assert released.evidence(0, tmp_path) not in ("", str(folder))


def test_what_is_not_there_or_another_network_is_named(folder: Path, tmp_path: Path) -> None:
    released = small(setups.setup("wan21").teacher, folder)
    with pytest.raises(UserError, match=r"no transformer of .*nowhere"):
        FlowSampler.load(replace(released, weights=str(tmp_path / "nowhere")), tmp_path)
    (tmp_path / "damaged" / "transformer").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no transformer of .*damaged: it holds no \.safetensors file"):
        FlowSampler.load(replace(released, weights=str(tmp_path / "damaged")), tmp_path)
    weights = (folder / "transformer" / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "damaged" / "transformer" / "weights.safetensors").write_bytes(weights[:-9])
    with pytest.raises(UserError, match="is truncated or damaged"):
        FlowSampler.load(replace(released, weights=str(tmp_path / "damaged")), tmp_path)
    with pytest.raises(UserError, match="is another network"):
        FlowSampler.load(replace(released, backbone=replace(released.backbone, layers=3)), tmp_path)
