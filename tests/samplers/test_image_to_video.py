"""Our sampler of Wan's image-to-video against diffusers' own pipeline, and what a picture is to the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline import tiny_pipeline
from safetensors.torch import load_file, save_file
from test_wan_as_diffusers import PROMPTS, euler
from tiny_pipelines import wan_i2v

from salt_bench import record, registry
from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import pictures
from salt_bench.samplers.diffusers_pipeline import DiffusersPipeline
from salt_bench.samplers.pipeline_settings import Settings
from salt_bench.types import Prompt
from salt_train.backbones.wan_image import Illustrated, Picture
from salt_train.caches.full import Full
from salt_train.codecs.umt5 import NEGATIVE
from salt_train.image_to_video import ImageToVideo, PictureSampler
from salt_train.recipe import Sampling
from salt_train.released import Settings as Said
from salt_train.released import arm
from salt_train.released_models import RELEASED, find
from salt_train.rollout import Chunks

FRAMES, HEIGHT, WIDTH, SHIFT = 9, 48, 32, 3.0
SIZE = f"frames={FRAMES},height={HEIGHT},width={WIDTH}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose captions are loud, and beside it a picture for each prompt, none of them of the video's shape."""
    folder = wan_i2v(tmp_path_factory.mktemp("i2v") / "pipeline")
    path = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors["encoder.final_layer_norm.weight"] *= 1000
    save_file(tensors, path, {"format": "pt"})
    (folder / "images").mkdir()
    for prompt, shape in zip(PROMPTS, ((40, 50, 3), (64, 30, 3)), strict=True):
        pixels = np.random.default_rng(len(prompt.id)).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).resize((90, 70)).save(folder / "images" / f"{prompt.text}.png")
    return folder


def ours(folder: Path, steps: int = 2, guidance: float = 1.0) -> ImageToVideo:
    made = registry.arm(f"released:wan21-i2v-14b@{folder},pipeline={folder},images={folder / 'images'},{SIZE}")
    assert isinstance(made, ImageToVideo)
    return replace(made, sampling=Sampling(euler(steps, SHIFT), guidance=guidance))


def sampler(made: ImageToVideo, folder: Path) -> PictureSampler:
    return made.sampler(0, folder)


@pytest.mark.parametrize(("steps", "guidance"), [(1, 1.0), (4, 1.0), (3, 5.0)])
def test_both_make_the_same_videos(steps: int, guidance: float, folder: Path) -> None:
    settings = Settings(steps, guidance, FRAMES, HEIGHT, WIDTH, negative=NEGATIVE, images=str(folder / "images"))
    theirs = DiffusersPipeline(str(folder), settings).sampler(0, folder)
    mine = sampler(ours(folder, steps, guidance), folder)
    for seed in (0, 1):
        for own, other in zip(mine(PROMPTS, seed), theirs(PROMPTS, seed), strict=True):
            a, b = own.frames().astype(int), other.frames().astype(int)
            assert a.shape == (FRAMES, HEIGHT, WIDTH, 3)
            assert np.abs(a - b).max() <= 1
            assert (own.fps, own.nfe) == (other.fps, other.nfe) == (16.0, steps * (2 if guidance > 1 else 1))
            assert a.std() > 1


def clip(made: PictureSampler, prompt: Prompt = PROMPTS[0]) -> np.ndarray:
    return next(made([prompt], 0)).frames().astype(int)


def test_the_comparison_sees_pictures_and_captions(folder: Path, tmp_path: Path) -> None:
    made = sampler(ours(folder), folder)
    usual = clip(made)
    other = tmp_path / f"{PROMPTS[0].text}.png"
    Image.new("RGB", (64, 96), (20, 200, 90)).save(other)
    assert np.abs(clip(replace(made, images=tmp_path)) - usual).mean() > 1, "the picture counts"
    assert np.abs(clip(made, replace(PROMPTS[0], text="snow", factors={"image": "a red square.png"})) - usual).mean() > 1
    seen, told = made.reads(folder / "images" / "a red square.png"), made.reads(other)
    for mixed in (Picture(seen.latents, told.features), Picture(told.latents, seen.features)):
        flow, x = made.net.beginning(mixed), torch.ones_like(seen.latents[:, 4:])
        words = torch.randn(1, 512, 16, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            a, b = (net(x, torch.ones(1), words).velocity for net in (flow, made.net.beginning(seen)))
        assert not torch.allclose(a, b, atol=1e-3), "both ways in which the picture is told count"


def test_what_the_network_is_told_of_a_picture(folder: Path) -> None:
    """A mask that is 1 where a frame is known, and the latents of the picture and two seconds of mid-grey."""
    reads = sampler(ours(folder), folder).reads
    told, codec = reads(folder / "images" / "a red square.png"), reads.codec
    assert told.latents.shape == (1, 4 + 16, 3, HEIGHT // 8, WIDTH // 8)
    assert told.features.shape == (1, 5, 8)
    mask = told.latents[0, :4]
    assert (mask[:, 0] == 1).all()
    assert (mask[:, 1:] == 0).all()
    pixels = Image.open(folder / "images" / "a red square.png").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    video = np.full((1, FRAMES, HEIGHT, WIDTH, 3), 127.5, np.float32)
    video[0, 0] = np.asarray(pixels)
    x = torch.from_numpy(video / 127.5 - 1).movedim(-1, 1)
    with torch.no_grad():
        expected = (codec.vae.encode(x).latent_dist.mode() - codec.mean) / codec.scale
    assert torch.allclose(told.latents[:, 4:], expected, atol=1e-5)
    assert torch.equal(reads(folder / "images" / "a red square.png").latents, told.latents), "from the disk"


def test_each_side_of_a_batch_has_its_own_picture(folder: Path) -> None:
    made = sampler(ours(folder), folder)
    files = [pictures.find(folder / "images", prompt) for prompt in PROMPTS]
    one, two = (made.reads(path) for path in files)
    both = Picture(torch.cat([one.latents, two.latents]), torch.cat([one.features, two.features]))
    x, words, level = torch.randn(4, 16, 3, 6, 4), torch.randn(4, 512, 16), torch.full((4,), 0.7)
    with torch.no_grad():
        found = made.net.beginning(both)(x, level, words).velocity
        for i, picture in enumerate((one, two, one, two)):
            alone = made.net.beginning(picture)(x[i : i + 1], level[:1], words[i : i + 1]).velocity
            assert torch.allclose(found[i : i + 1], alone, atol=1e-5)


def test_an_arm_is_data_and_a_picture_is_part_of_the_protocol(folder: Path, tmp_path: Path) -> None:
    made = ours(folder)
    assert record.load(record.dump(made)) == made
    assert made.at((1.0,)).identity(0) == made.identity(0)
    assert made.protocol()["images"] == pictures.digest(folder / "images")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    assert replace(made, images=str(tmp_path)).protocol()["images"] != made.protocol()["images"]
    assert replace(made, images=str(tmp_path)).identity(0) == made.identity(0)
    assert made.evidence(0, tmp_path)
    assert made.prepare(0, tmp_path, lambda stage, share: None) is False


def test_the_entries(folder: Path) -> None:
    illustrated = [entry.name for entry in RELEASED if entry.network == find("wan21-i2v-14b").network]
    assert illustrated == ["wan21-i2v-14b", "lightx2v-i2v-14b"]
    student = arm("lightx2v-i2v-14b", folder / "nowhere", Said(images="here"))
    assert isinstance(student, ImageToVideo)
    assert student.sampling == Sampling((1.0, 0.9375, 5 / 6, 0.625))
    assert (student.network.width, student.network.image, student.codec.shape()) == (5120, 1280, (16, 21, 60, 104))
    assert "I2V-14B" in student.text.source


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    plain = tiny_pipeline(tmp_path / "plain")
    with pytest.raises(WrongUse, match="wan21-i2v-14b begin with a picture: add images=FOLDER"):
        registry.arm(f"released:wan21-i2v-14b@{folder}")
    with pytest.raises(UserError, match=r"plain holds a network that reads no picture; fetch transformer of Wan-AI"):
        registry.arm(f"released:wan21-i2v-14b@{plain},images=here")
    with pytest.raises(UserError, match=r"is image-to-video: .*sample it as released:lightx2v-i2v-14b@.*,images=PICTURES"):
        registry.arm(f"released:wan21-1.3b@{folder}")
    with pytest.raises(WrongUse, match="self-forcing reads captions alone: leave images=… out"):
        registry.arm(f"released:self-forcing@{plain},images=here")
    with pytest.raises(WrongUse, match="begin with a picture"):
        registry.arm("random:lightx2v-i2v-14b")
    with pytest.raises(UserError, match=r"holds no first frame of 'a cat': add a cat\.png"):
        clip(sampler(ours(folder), folder), Prompt("cat", "a cat", "x"))
    (tmp_path / "a cat.png").write_text("no picture")
    with pytest.raises(UserError, match=r"a cat\.png is no picture that can be read"):
        clip(replace(sampler(ours(folder), folder), images=tmp_path), Prompt("cat", "a cat", "x"))
    with pytest.raises(ValueError, match="makes all frames at once"):
        replace(ours(folder), sampling=Sampling((1.0,), chunks=Chunks(3)))
    flow = Illustrated(None, Picture(torch.zeros(1), torch.zeros(1)))
    with pytest.raises(ValueError, match="makes all frames at once: sample it without chunks"):
        flow.begin(torch.zeros(1), Full())
