"""Pipelines of diffusers as arms: real classes, tiny random weights; the same clip whatever stands beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_pipelines
from PIL import Image
from pipeline import tiny_pipeline

from salt_bench import registry
from salt_bench.errors import UserError, WrongUse
from salt_bench.prompts import pictures
from salt_bench.samplers.diffusers_pipeline import DiffusersPipeline, pipeline_arm
from salt_bench.samplers.pipeline_settings import Settings, check
from salt_bench.types import Clip, Prompt

SIZE = "frames=9,height=32,width=32"
RED, SNOW = Prompt("red", "a red square", "x"), Prompt("snow", "snow", "x", {"image": "white.jpg"})
MAKE: dict[str, Callable[[Path], Path]] = {
    "wan": tiny_pipeline,
    "ltx": tiny_pipelines.ltx,
    "skyreels": tiny_pipelines.skyreels,
    "forcing": tiny_pipelines.forcing,
    "anyflow": tiny_pipelines.anyflow,
    "helios": tiny_pipelines.helios,
    "wan_i2v": tiny_pipelines.wan_i2v,
    "ltx_i2v": tiny_pipelines.ltx_i2v,
}
ILLUSTRATED = ("wan_i2v", "ltx_i2v")
TIMELESS = ("skyreels", "helios")
"""Those whose call says nothing of frames per second."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every pipeline in a folder of its name, and a folder of first frames."""
    root = tmp_path_factory.mktemp("pipelines")
    for name, make in MAKE.items():
        make(root / name)
    (root / "images").mkdir()
    Image.new("RGB", (40, 32), (200, 30, 30)).save(root / "images" / "a red square.png")
    Image.new("RGB", (64, 64), (250, 250, 250)).save(root / "images" / "white.jpg")
    return root


def arm(root: Path, name: str, settings: str = "steps=2,guidance=1") -> DiffusersPipeline:
    more = f",images={root / 'images'}" if name in ILLUSTRATED else ",fps=24" if name in TIMELESS else ""
    made = registry.arm(f"diffusers:{root / name}@{SIZE},{settings}{more}")
    assert isinstance(made, DiffusersPipeline)
    return made


def clips(made: DiffusersPipeline, *prompts: Prompt, seed: int = 0) -> list[Clip]:
    return list(made.sampler(0, Path())(prompts, seed))


@pytest.mark.parametrize("name", MAKE)
def test_a_clip_depends_on_its_prompt_and_seed_alone(name: str, root: Path) -> None:
    made = arm(root, name)
    red, snow = clips(made, RED, SNOW)
    snow_again, red_again = clips(made, SNOW, RED)
    (other,) = clips(made, RED, seed=1)
    assert red.frames().shape == (33 if name == "helios" else 9, 32, 32, 3)
    assert red.frames().dtype == np.uint8
    assert red.frames().std() > 1
    fps = {"ltx": 25, "ltx_i2v": 25, "skyreels": 24, "helios": 24, "forcing": 24}.get(name, 16)
    assert (red.fps, red.nfe, red.chunk, red.seed) == (fps, 2, 0, 0)
    assert np.array_equal(red.frames(), red_again.frames())
    assert np.array_equal(snow.frames(), snow_again.frames())
    assert not np.array_equal(red.frames(), snow.frames())
    assert not np.array_equal(red.frames(), other.frames())


@pytest.mark.parametrize("name", ["wan", "ltx", "wan_i2v"])
def test_guided_steps_count_twice_whether_in_one_call_or_two(name: str, root: Path) -> None:
    (plain,), (guided,) = clips(arm(root, name), RED), clips(arm(root, name, "steps=3,guidance=4"), RED)
    assert (plain.nfe, guided.nfe) == (2, 6)
    assert not np.array_equal(plain.frames(), guided.frames())


def test_a_video_begins_with_its_picture(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "images", tmp_path / "images")
    Image.new("RGB", (40, 32), (30, 30, 200)).save(tmp_path / "images" / "a red square.png")
    before = arm(root, "wan_i2v")
    after = pipeline_arm(f"diffusers:{root / 'wan_i2v'}@{SIZE},steps=2,guidance=1,images={tmp_path / 'images'}")
    assert after is not None
    assert before.protocol()["images"] != after.protocol()["images"]
    (red,), (blue,) = clips(before, RED), clips(after, RED)
    assert not np.array_equal(red.frames(), blue.frames())
    assert pictures.find(root / "images", SNOW).name == "white.jpg"
    with pytest.raises(UserError, match=r"holds no first frame of 'a cat': add a cat\.png"):
        pictures.find(root / "images", Prompt("cat", "a cat", "x"))


def test_settings_and_weights_are_told_apart_places_are_not(root: Path, tmp_path: Path) -> None:
    made = arm(root, "wan")
    assert made.protocol() == {"steps": 2, "guidance": 1.0, "frames": 9, "height": 32, "width": 32, "dtype": "fp32"}
    assert made.prepare(0, tmp_path, lambda stage, share: None) is False
    assert made.at((1.0, 0.5)) is made
    moved = Path(shutil.copytree(root / "wan", tmp_path / "moved"))
    assert arm(tmp_path, "moved").evidence(0, tmp_path) == made.evidence(0, tmp_path) == made.identity(0)["pipeline"]
    weights = moved / "transformer" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert arm(tmp_path, "moved").evidence(0, tmp_path) != made.evidence(0, tmp_path)
    assert DiffusersPipeline("nobody/nothing").evidence(0, tmp_path) == ""


def test_another_transformer_stands_in(root: Path, tmp_path: Path) -> None:
    import torch
    from diffusers import WanTransformer3DModel

    net = WanTransformer3DModel.from_pretrained(root / "wan", subfolder="transformer")
    with torch.no_grad():
        net.proj_out.weight.neg_()
    net.save_pretrained(tmp_path / "transformer")
    own, other = arm(root, "wan"), arm(root, "wan", f"steps=2,guidance=1,transformer={tmp_path}")
    assert own.evidence(0, tmp_path) != other.evidence(0, tmp_path)
    (mine,), (theirs,) = clips(own, RED), clips(other, RED)
    assert not np.array_equal(mine.frames(), theirs.frames())


def test_a_converted_image_to_video_network_is_sampled_in_its_pipeline(root: Path, tmp_path: Path) -> None:
    from weights import IMAGE, net, pick, saved

    from salt_train.convert.conversion import Wish, convert
    from salt_train.convert.names import to_wan

    own = net(3, **(IMAGE | {"image_dim": 8}))
    file = saved(tmp_path / "i2v.pt", {"generator": {f"model.{to_wan(k)}": t for k, t in own.state_dict().items()}})
    convert(pick(file), tmp_path / "converted", Wish(), lambda text: None)
    with pytest.raises(UserError, match=r"converted is image-to-video: .*sample it as released:.*converted,images="):
        registry.arm(f"released:self-forcing@{tmp_path / 'converted'}")
    made = arm(root, "wan_i2v", f"steps=2,guidance=1,transformer={tmp_path / 'converted'}")
    (red,), (usual,) = clips(made, RED), clips(arm(root, "wan_i2v"), RED)
    assert red.frames().shape == (9, 32, 32, 3)
    assert not np.array_equal(red.frames(), usual.frames())


def test_half_precision_is_another_protocol(root: Path) -> None:
    half = arm(root, "wan", "steps=2,guidance=1,dtype=bf16")
    assert half.protocol()["dtype"] == "bf16"
    (a,), (b,) = clips(arm(root, "wan"), RED), clips(half, RED)
    apart = np.abs(a.frames().astype(int) - b.frames())
    assert 0 < apart.mean() < 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("step=4", r"one of steps=…, guidance=….*; got 'step=4'; did you mean steps\?"),
        ("steps=four", "the option steps is of type int, got 'four'"),
        ("steps=0", "steps is more than 0, got 0"),
        ("dtype=fp64", "dtype is one of fp32, bf16, fp16, got 'fp64'"),
        ("frames=10", r"Wan's clips have 4n \+ 1 frames, got frames=10"),
        ("images=here", "WanPipeline takes no image: leave that setting out"),
    ],
)
def test_a_wrong_setting_is_named(settings: str, words: str, root: Path) -> None:
    with pytest.raises(WrongUse, match=words):
        clips(registry.arm(f"diffusers:{root / 'wan'}@{settings}"), RED)  # type: ignore[arg-type]


def test_what_is_no_pipeline_is_named(root: Path, tmp_path: Path) -> None:
    assert pipeline_arm("released:longlive") is None
    for word in (str(tmp_path), str(tmp_path / "nowhere"), ""):
        with pytest.raises(UserError, match=r"holds no model_index\.json: name a pipeline's folder"):
            pipeline_arm(f"diffusers:{word}")
    with pytest.raises(WrongUse, match=r"WanImageToVideoPipeline begins with a picture: add images=FOLDER"):
        clips(DiffusersPipeline(str(root / "wan_i2v")), RED)
    with pytest.raises(WrongUse, match="SkyReelsV2Pipeline does not say how fast its videos run: add fps="):
        clips(DiffusersPipeline(str(root / "skyreels"), Settings(2, 1.0, 9, 32, 32)), RED)
    with pytest.raises(UserError, match=r"WanPipeline refuses what it is asked: .*divisible by 16"):
        clips(DiffusersPipeline(str(root / "wan"), Settings(1, 1.0, 9, 30, 32)), RED)


def test_a_pipeline_of_images_or_of_no_class_is_refused(root: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    with pytest.raises(WrongUse, match="StableDiffusionPipeline makes no video from text: its call takes no num_frames"):
        check(StableDiffusionPipeline, Settings())
    for index in ({"_class_name": "NoSuchPipeline"}, {}, []):
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(UserError, match="names no class of this version of diffusers"):
            clips(DiffusersPipeline(str(tmp_path)), RED)
    damaged = Path(shutil.copytree(root / "wan", tmp_path / "damaged"))
    weights = damaged / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(UserError, match="damaged cannot be read as a pipeline: "):
        clips(DiffusersPipeline(str(damaged)), RED)
