"""A sampler that is waited for makes the same video as the one that is not, piece by piece, however it is run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from salt_bench.cli import app
from salt_bench.errors import UserError, WrongUse
from salt_bench.types import SCOPES, Live, LiveArm, Prompt, Running
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.caches.full import Full
from salt_train.caches.window import Window
from salt_train.codecs.umt5 import NEGATIVE
from salt_train.live import work
from salt_train.live.recompute import Recompute
from salt_train.live.sampler import LiveSampler, Reader
from salt_train.live.stock import StockSampler, transformer
from salt_train.live.untrained import Untrained, untrained_arm
from salt_train.rollout import Chunks, Context, Mover, walk

PIECES = (9, 12, 12, 12, 12, 12, 12)
SPEC = WanSpec(24, 2, 2, 48, frequencies=16, waves=0, precondition=False, timeless=True)
LATENT = (4, 12, 8, 12)
GUIDED = ("random:wan21-1.3b@steps=2,miniature", "random:causal-forcing-ar@steps=2,miniature")


def arm(word: str = "random:self-forcing@miniature") -> Untrained:
    found = untrained_arm(word)
    assert found is not None
    assert isinstance(found, LiveArm)
    return found


def made(running: Running, word: str = "random:self-forcing@miniature") -> Live:
    return arm(word).live(0, Path(), running)


@pytest.mark.parametrize("network", ["swift", "plain", "recompute", "stock"])
def test_every_scope_gives_all_frames(network: str) -> None:
    model = made(Running(network=network))
    for scope in SCOPES:
        found = tuple(model.start(model.prompt(""), 0, scope))
        assert found == (PIECES if network != "stock" else (81,))
    assert model.work() > 0
    assert model.peak() > 1e6
    with pytest.raises(WrongUse, match=r"a scope is one of denoise, denoise\+decode, end_to_end, got 'all'"):
        model.start(model.prompt(""), 0, "all")


def decoded(model: LiveSampler, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The frames that a stopwatch never shows."""
    frames: list[Tensor] = []
    monkeypatch.setattr(model.queue, "fetched", lambda tensor: frames.append(tensor))
    list(model.start(model.prompt("a cat"), 3, "end_to_end"))
    return frames


def test_the_video_is_the_same_however_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = []
    for network in ("plain", "swift", "recompute"):
        model = made(Running(network=network))
        assert isinstance(model, LiveSampler)
        videos.append(torch.cat(decoded(model, monkeypatch), 1))
    assert videos[0].shape == (1, 81, 64, 64, 3)
    assert all(float((video.int() - videos[0].int()).abs().float().mean()) < 0.02 for video in videos)


def test_a_memory_is_full_when_pieces_cost_the_same() -> None:
    assert made(Running(), "random:longlive@miniature").steady == 3  # twelve latent frames, three at a time
    assert made(Running()).steady == -1
    assert made(Running(), "random:rcm-1.3b@miniature").steady == -1


def test_there_is_nothing_to_recompute_without_a_history() -> None:
    with pytest.raises(WrongUse, match="has no history to recompute"):
        made(Running(network="recompute"), "random:rcm-1.3b@miniature")
    assert tuple(made(Running(), "random:rcm-1.3b@miniature").start(made(Running()).prompt("x"), 0, "denoise")) == (77,)


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(WrongUse, match="a network is run as swift, plain, recompute, stock, got 'quick'"):
        made(Running(network="quick"))
    with pytest.raises(WrongUse, match="a dtype is float32, bfloat16, float16, got 'int8'"):
        made(Running(dtype="int8"))
    with pytest.raises(WrongUse, match=r"no released model 'self-forcin'; did you mean 'self-forcing'\?"):
        untrained_arm("random:self-forcin")
    with pytest.raises(WrongUse, match=r"an option is NAME=VALUE, one of steps=…; got 'minature'"):
        untrained_arm("random:self-forcing@minature")
    with pytest.raises(WrongUse, match="a model takes at least one step, got steps=0"):
        untrained_arm("random:self-forcing@steps=0")
    with pytest.raises(WrongUse, match="its videos cannot be judged"):
        arm().sampler(0, Path())
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="there is no cuda here"):
            made(Running("cuda"))


def test_half_precision_runs() -> None:
    for network in ("swift", "plain", "recompute", "stock"):
        model = made(Running("cpu", "bfloat16", network))
        assert sum(model.start(model.prompt(""), 0, "end_to_end")) == 81


# ------------------------------------------------------------------------------------------------------- without a cache


def net(spec: WanSpec = SPEC) -> Wan:
    torch.manual_seed(0)
    made = Wan(spec, LATENT, 10, torch.ones(4))
    return made.requires_grad_(False)


@pytest.mark.parametrize("policy", [Full(), Window(window=6, sink=0)], ids=repr)
def test_recomputing_gives_what_a_cache_gives(policy: Full | Window) -> None:
    """Under a window too: what lies in it was made by seeing what lay in its own."""
    torch.manual_seed(1)
    noise, cond, chunks = torch.randn(1, *LATENT), torch.randn(1, 5, 10), Chunks(3, policy)
    found = []
    for network in (net(), Recompute(net())):
        states = walk(Mover(network), noise, Context(cond, None), (1.0, 0.6), chunks=chunks)
        found.append(torch.cat([s.x for s in states if not s.sigma], 2))
    assert torch.allclose(*found, atol=2e-5)
    with pytest.raises(ValueError, match="a history is clean"):
        Recompute(net()).remember(noise, cond, Recompute(net()).begin(cond, Full()), 0.1)


def test_the_stock_class_has_the_same_weights() -> None:
    wan = net(replace(SPEC, timeless=False))
    stock, x, cond = transformer(wan), torch.randn(1, *LATENT), torch.randn(1, 5, 10)
    expected = wan(x, torch.tensor([0.5]), cond).velocity
    with torch.no_grad():
        (found,) = stock(x, torch.tensor([500.0]), cond, return_dict=False)
    assert torch.allclose(found, expected, atol=1e-5)
    assert stock.blocks[0].ffn.net[2].weight.data_ptr() == wan.net.blocks[0].ffn.net[2].weight.data_ptr()


# -------------------------------------------------------------------------------------------------- how much work it is


def counted(network: Wan, frames: int, chunks: Chunks | None, steps: int, guidance: float = 1.0) -> float:
    cond, noise = torch.randn(1, 5, 10), torch.randn(1, LATENT[0], frames, *LATENT[2:])
    mover, context = Mover(network, guidance, torch.zeros_like), Context(cond, None)
    if chunks:
        context = mover.begin(context, chunks.cache)
    grid = tuple(1 - i / steps for i in range(steps))
    with FlopCounterMode(display=False) as counter:
        list(walk(mover, noise, context, grid, chunks=chunks))
    return float(counter.get_total_flops())


def test_operations_are_those_that_are_counted() -> None:
    at_once = counted(net(replace(SPEC, timeless=False)), 12, None, 3)
    text, told = 2 * 5 * (10 * 24 + 24 * 24), 2 * 5 * 2 * 2 * 24 * 24  # the caption and its keys and values, read at every step
    assert work.at_once(SPEC, LATENT, 5, 3) == pytest.approx(at_once - 3 * (text + told), rel=1e-6)
    for policy in (Full(), Window(window=6, sink=3)):
        chunks = Chunks(3, policy)
        assert work.chunked(SPEC, LATENT, 5, chunks, 3) == pytest.approx(counted(net(), 12, chunks, 3) - 15 * text, rel=1e-6)
        guided = counted(net(), 12, chunks, 3, 5.0)
        assert 2 * work.chunked(SPEC, LATENT, 5, chunks, 3) == pytest.approx(guided - 2 * 15 * text, rel=1e-6)
    once = [work.evaluation(SPEC, LATENT, 3, seen, 5) for seen in (3, 6, 9, 12)]
    assert work.chunked(SPEC, LATENT, 5, Chunks(3), 3, again=True) == pytest.approx(
        3 * sum(n * o for n, o in zip((4, 3, 2, 1), once, strict=True))
    )


def test_wan_2_1_in_numbers() -> None:
    """One evaluation of the 1.3B network at 81 frames of 480×832: the parameters' part by hand."""
    from salt_train.setups.wan21 import WAN_1B

    latent, tokens = (16, 21, 60, 104), 32760
    found = work.evaluation(WAN_1B, latent, 21, 21, 512)
    blocks = 30 * (6 * 1536**2 + 2 * 1536 * 8960)
    attention = 30 * 2 * 1536 * (tokens + 512)
    assert found == pytest.approx(2 * tokens * (blocks + attention), rel=1e-3)
    assert found / 1e12 == pytest.approx(283, rel=0.01)


@pytest.mark.parametrize("word", [*GUIDED, "random:self-forcing@miniature"])
def test_the_work_of_a_video_is_that_which_is_done(word: str) -> None:
    """All of a swift video's operations, but for its captions, which are read once and not at every step."""
    model = made(Running(), word)
    assert isinstance(model, LiveSampler)
    ready, captions = model.ready(model.prompt(""), 0), 1 if model.sampling.guidance == 1 else 2
    with FlopCounterMode(display=False) as counter:
        list(model.walk(ready))
    spec, (_, tokens, words) = model.spec, ready.context.cond.shape
    read = 2 * tokens * spec.width * (words + spec.width + spec.layers * 2 * spec.width)
    assert counter.get_total_flops() == pytest.approx(model.work() + captions * read, rel=1e-6)


# ------------------------------------------------------------------------------------------------------- under guidance


def latents(running: Running, word: str, seed: int = 3) -> Tensor:
    """(1, C, F, H, W), as they are finished."""
    model = made(running, word)
    assert isinstance(model, LiveSampler)
    ready = model.ready(model.prompt("a cat"), seed)
    return torch.cat([state.x for state in model.walk(ready) if not state.sigma], 2)


@pytest.mark.parametrize("word", GUIDED)
def test_every_way_is_guided_alike(word: str) -> None:
    plain = latents(Running(network="plain"), word)
    others = ("swift",) if "wan21" in word else ("swift", "recompute")
    for network in others:
        assert torch.allclose(latents(Running(network=network), word), plain, atol=2e-5, rtol=1e-4)
    assert not torch.allclose(latents(Running(network="plain"), word, seed=4), plain, atol=0.1)


def test_a_step_under_guidance_by_hand() -> None:
    """x̂_0 = ε - (u + 5·(c - u)) of one step from noise; the unconditional side reads Wan's negative caption."""
    model = made(Running(network="plain"), "random:wan21-1.3b@steps=1,miniature")
    assert isinstance(model, LiveSampler)
    ready = model.ready(model.prompt("a cat"), 0)
    said = model.reader.caption(Prompt("", NEGATIVE, ""))
    with torch.no_grad():
        captioned, empty = (model.net(ready.noise, torch.ones(1), c).velocity for c in (ready.context.cond, said))
    *_, state = model.walk(ready)
    assert not torch.allclose(captioned, empty, atol=1e-3)
    assert torch.allclose(state.x, ready.noise - empty - 5 * (captioned - empty), atol=1e-4)


def test_the_stock_pipeline_is_guided_alike() -> None:
    """At the noise levels of its own scheduler it makes the latents that ours makes."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(3)
    teacher = arm("random:wan21-1.3b@miniature").at(tuple(float(sigma) for sigma in scheduler.sigmas[:-1]))
    stock, plain = (teacher.live(0, Path(), Running(network=name)) for name in ("stock", "plain"))
    assert isinstance(stock, StockSampler)
    assert isinstance(plain, LiveSampler)
    prompt = plain.prompt("a cat")
    *_, state = plain.walk(plain.ready(prompt, 0))
    found = stock.denoised(stock.like.ready(prompt, 0))
    assert torch.allclose(found, state.x, atol=1e-4)
    assert stock.work() == plain.work() == 2 * 3 * work.evaluation(plain.spec, plain.latent, 21, 21, 6)


def test_the_empty_caption_is_read_where_captions_are() -> None:
    model = made(Running(), "random:wan21-1.3b@steps=1,miniature")
    assert isinstance(model, LiveSampler)
    read: list[str] = []
    caption, null = model.reader.caption, model.reader.null
    model.reader = Reader(
        lambda prompt: (read.append("caption"), caption(prompt))[1], lambda like: (read.append("null"), null(like))[1]
    )
    for scope, before in (("denoise", ["caption", "null"]), ("end_to_end", [])):
        read.clear()
        pieces = model.start(model.prompt(""), 0, scope)
        assert read == before
        list(pieces)
        assert read == ["caption", "null"]


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_command_measures_and_shows(tmp_path: Path) -> None:
    words = ["random:self-forcing@miniature", "--network", "swift,stock", "--repeats", "2", "--warm", "0"]
    done = CliRunner().invoke(app, ["speed", *words, "--scopes", "denoise,denoise+decode", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "Measured with random weights" in done.output
    page = (tmp_path / "report.md").read_text()
    assert [page.count(f"| {name} ") for name in ("swift", "stock")] == [3, 3]  # two scopes, and what was run
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()[1:]]
    assert {row["judge"] for row in rows} == {"speed/denoise", "speed/denoise+decode"}
    about = json.loads((tmp_path / "speed.json").read_text())["arms"]
    assert [a["running"]["network"] for a in about] == ["swift", "stock"]
    before = {path: path.read_bytes() for path in (tmp_path / "report.md", tmp_path / "index.html")}
    from salt_bench.report import speed_page

    speed_page.render(tmp_path)
    assert {path: path.read_bytes() for path in before} == before


def test_the_page_counts_both_evaluations_of_a_guided_step(tmp_path: Path) -> None:
    word = "random:wan21-1.3b@steps=2,miniature"
    words = [word, "--network", "swift,stock", "--repeats", "2", "--warm", "0", "--scopes", "denoise", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["speed", *words])
    assert done.exit_code == 0, done.output
    for name in ("swift", "stock"):
        row = next(line for line in done.output.splitlines() if line.startswith(f"| {word} | {name} "))
        assert [cell.strip() for cell in row.split("|")][4:6] == ["2", "4"]  # steps, evaluations


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["random:self-forcing@miniature", "--scopes", "all"], "a scope is one of"),
        (["random:nothing"], "no released model 'nothing'"),
        (["videos"], "speed is that of a model"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a cat-0.mp4").touch()
    done = CliRunner().invoke(app, ["speed", *words, "--out", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)
