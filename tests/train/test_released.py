"""Published models: each entry stands for a recipe that its files fit, and says what to do where they are not there."""

from __future__ import annotations

import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline import small, tiny_pipeline
from tiny import quiet

from salt_bench import record, registry
from salt_bench.errors import UserError, WrongUse
from salt_bench.report import published
from salt_train import cli, describe
from salt_train.backbones.wan import WanSpec
from salt_train.caches.full import Full
from salt_train.caches.window import Window
from salt_train.codecs.umt5 import UMT5
from salt_train.codecs.wan_vae import WanVAE
from salt_train.recipe import Recipe
from salt_train.released import Settings, arm, released_arm
from salt_train.released_models import RELEASED, Released, find
from salt_train.sampler import FlowSampler

RUN = [entry for entry in RELEASED if entry.sampling and isinstance(entry.network, WanSpec)]
every_run = pytest.mark.parametrize("entry", RUN, ids=lambda entry: entry.name)
FOUR, TWO = (1, 0.9375, 5 / 6, 0.625), (1, 5 / 6)


def test_names_are_theirs_alone_and_scores_are_published() -> None:
    names = [entry.name for entry in RELEASED]
    assert len(set(names)) == len(names) == 29
    known = set(published.load()["model"])
    scored = {entry.name: entry.scores_as for entry in RELEASED if entry.scores_as}
    assert set(scored.values()) <= known
    assert scored["salt-longlive"] == "Salt + LongLive"
    assert all(entry.licence and entry.repo.count("/") == 1 for entry in RELEASED)


@every_run
def test_an_entry_is_a_recipe(entry: Released) -> None:
    made = arm(entry.name, Path("somewhere"))
    assert record.load(record.dump(made)) == made
    assert (made.weights, made.steps, made.sampling) == ("somewhere", 0, entry.sampling)
    assert made.backbone.takes(entry.network)
    assert made.codec.shape()[1] == (entry.clip[0] + 3) // 4
    if made.sampling.chunks:
        made.sampling.chunks.sizes(made.codec.shape()[1])


@pytest.mark.parametrize(
    ("name", "grid", "size", "cache", "update"),
    [
        ("self-forcing", FOUR, 3, Full(), "sde"),
        ("causal-forcing", FOUR, 3, Full(), "sde"),
        ("causal-forcing-framewise", FOUR, 1, Full(), "sde"),
        ("longlive", FOUR, 3, Window(window=12, sink=3), "sde"),
        ("salt-longlive", FOUR, 3, Window(window=12, sink=3), "sde"),
        ("causvid", (1, 0.757, 0.522), 3, Full(), "sde"),
        ("causvid-4step", (1, 0.96, 8 / 9, 8 / 11), 3, Full(), "sde"),
        ("causal-forcing++-2step", TWO, 1, Full(), "sde"),
        ("causal-forcing++-1step", (1,), 1, Full(), "sde"),
    ],
)
def test_authors_sampling_stands_in_the_entries(
    name: str, grid: tuple[float, ...], size: int, cache: object, update: str
) -> None:
    sampling = find(name).sampling
    assert sampling is not None
    assert sampling.chunks is not None
    assert sampling.grid == pytest.approx(grid)
    assert (sampling.chunks.size, sampling.chunks.cache, sampling.update, sampling.guidance) == (size, cache, update, 1.0)
    assert sampling.chunks.first_grid == (pytest.approx(FOUR) if "++" in name else ())


def test_rcm_takes_its_angles() -> None:
    sampling = find("rcm-1.3b").sampling
    assert sampling is not None
    assert sampling.grid[1:] == pytest.approx([math.tan(t) / (1 + math.tan(t)) for t in (1.5, 1.4, 1.0)])
    assert sampling.grid == pytest.approx((1, 0.934, 0.853, 0.609), abs=1e-3)
    assert sampling.chunks is None
    assert arm("rcm-1.3b", Path()).codec.shape() == (16, 20, 60, 104)


def test_what_to_take_and_what_to_leave_out_is_said() -> None:
    takes = {entry.name: entry.take for entry in RELEASED}
    assert (takes["self-forcing"], takes["causal-forcing"], takes["salt-causal-forcing"]) == (
        "generator_ema",
        "generator",
        "generator_ema",
    )
    assert takes["salt-longlive"] == "generator"
    assert find("fastwan-1.3b").without == ("to_gate_compress",)
    assert find("longlive").lora == "models/lora.pt"


def test_what_cannot_be_sampled_here_says_why() -> None:
    with pytest.raises(WrongUse, match="anyflow-14b is not sampled here: a flow map"):
        arm("anyflow-14b", Path())
    with pytest.raises(WrongUse, match="causal-forcing-long is not sampled here: denoises four chunks at once"):
        arm("causal-forcing-long", Path())


def test_a_word_becomes_an_arm_or_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert released_arm("runs/checkpoints/x") is None
    with pytest.raises(WrongUse, match="no released model 'longlife'; did you mean 'longlive'"):
        registry.arm("released:longlife")
    command = "salt-train convert longlive_base.pt runs/released/longlive --take generator --lora lora.pt"
    files = "models/longlive_base.pt and models/lora.pt of Efficient-Large-Model/LongLive-1.3B (Hugging Face)"
    with pytest.raises(UserError) as missing:
        registry.arm("released:longlive")
    assert str(missing.value) == f"released:longlive has no weights in runs/released/longlive: fetch {files}, then: {command}"
    for place, word in (("runs/released/longlive", "released:longlive"), ("here", "released:longlive@here")):
        (tmp_path / place / "transformer").mkdir(parents=True)
        (tmp_path / place / "transformer" / "x.safetensors").touch()
        assert registry.arm(word) == arm("longlive", Path(place))


@every_run
def test_the_command_that_is_advised_is_one(entry: Released) -> None:
    from salt_train.convert.command import convert

    advised = shlex.split(entry.fetch(Path("out")).split("then: ")[1])
    flags = {word for word in advised if word.startswith("--")}
    assert advised[:2] == ["salt-train", "convert"]
    assert {flag.removeprefix("--") for flag in flags} <= set(convert.__annotations__)


def test_the_list_names_them_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["salt-train", "list", "--released"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [entry.name for entry in RELEASED]
    assert "    sampled  2 sde steps, chunks of 1, Full" in lines
    assert "    sampled  4 sde steps, chunks of 3, Window (window 12, sink 3)" in lines
    assert "    grid     1000 937.5 833.3 625" in lines
    assert "    scores   “LongLive” in salt_bench/report/published_scores.csv" in lines


def test_an_arm_samples_what_is_in_its_folder(tmp_path: Path) -> None:
    folder = tiny_pipeline(tmp_path / "pipeline")
    made = small(arm("causal-forcing++-2step", folder, Settings(str(folder))), folder)
    made = replace(made, codec=replace(made.codec, frames=9))
    assert made.prepare(0, tmp_path, quiet) is False
    clip = next(iter(FlowSampler.load(made, tmp_path)(made.world.prompts("train")[:1], 0)))
    assert clip.frames().shape == (9, 32, 32, 3)


# --- what a folder is, and what a word says of it ----------------------------------------------------------------------------


def folder_of(path: Path, **config: object) -> Path:
    """A converted folder whose network is as large as its configuration says."""
    said = {"num_attention_heads": 2, "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "num_layers": 3}
    said |= {"ffn_dim": 64, "freq_dim": 32, "text_dim": 24}
    (path / "transformer").mkdir(parents=True)
    (path / "transformer" / "config.json").write_text(json.dumps(said | config))
    (path / "transformer" / "x.safetensors").touch()
    return path


def test_a_word_says_which_pipeline_and_how_long_and_large(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine")
    made = registry.arm(f"released:longlive@{folder},pipeline=there,frames=57,height=32,width=64")
    assert isinstance(made, Recipe)
    assert made.codec == WanVAE("there", 57, 32, 64)
    assert made.text == UMT5("there", words=24)
    assert (made.backbone.width, made.backbone.heads, made.backbone.layers, made.backbone.hidden) == (256, 2, 3, 64)
    assert (made.backbone.frequencies, made.backbone.timeless, made.weights) == (32, True, str(folder))
    assert made.sampling == find("longlive").sampling
    assert arm("longlive", tmp_path / "nowhere").codec.shape() == (16, 21, 60, 104)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("frames=13", "longlive: chunks fill the video: 4 latent frames are not 3 and a multiple of 3"),
        ("frames=58", r"longlive: Wan's clips have 4n \+ 1 frames"),
        ("frame=57", r"got 'frame=57'; did you mean frames\?"),
        ("height=tall", "the option height is of type int"),
    ],
)
def test_a_wrong_setting_of_a_word_is_named(settings: str, said: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine")
    with pytest.raises(WrongUse, match=said):
        registry.arm(f"released:longlive@{folder},{settings}")


def test_a_network_that_reads_pictures_says_how_it_can_be_sampled(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "i2v", in_channels=36, image_dim=1280)
    with pytest.raises(UserError, match=r"i2v is image-to-video: .*sample it as released:lightx2v-i2v-14b@.*i2v,images="):
        registry.arm(f"released:self-forcing@{folder}")
    (folder / "transformer" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="does not say how large the network is"):
        registry.arm(f"released:self-forcing@{folder}")


def test_every_entry_says_all_that_a_reader_asks() -> None:
    said = "\n".join(describe.released())
    for entry in RELEASED:
        lines = _lines_of(entry.name)
        assert {"weights", "sampled", "clip", "prompts", "licence"} <= set(lines), entry.name
        assert ("grid" in lines) == (entry.sampling is not None)
        assert ("note" in lines) or entry.sampling is not None, "what cannot be sampled says why"
    assert "1000 933.8 852.9 609" in said
    assert "1000 995.9 991.7 … 92.6" in said


def _lines_of(name: str) -> dict[str, str]:
    lines = list(describe.released())
    first = lines.index(name) + 1
    last = next((i for i, line in enumerate(lines[first:], first) if not line.startswith(" ")), len(lines))
    return dict(line.strip().split(maxsplit=1) for line in lines[first:last])
