"""Evaluations that are recorded and repeated give the numbers of those that are not, whatever changes between them.

Without a GPU a tape stands in for a CUDA graph: it repeats the very operations on the very tensors, so that all that was a
number, a shape or an address when it was recorded stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_swift import LATENT, POLICIES, SHAPES, SPEC, WORDS, cond, networks, noise
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typer.testing import CliRunner

from salt_bench.cli import app
from salt_bench.errors import UserError, WrongUse
from salt_bench.rng import Draws
from salt_bench.types import Running
from salt_train.backbones.wan import WanSpec
from salt_train.caches.base import CachePolicy
from salt_train.caches.full import Full
from salt_train.caches.relative import Relative
from salt_train.caches.window import Window
from salt_train.live import graphs, ready, untrained
from salt_train.live.ready import checked
from salt_train.live.swift import Swift
from salt_train.recipe import Sampling
from salt_train.rollout import Chunks, Context, Mover, Renoise, walk

UNRECORDABLE = {"_local_scalar_dense", "lift_fresh", "nonzero", "pin_memory"}
"""What waits for a GPU or brings it numbers from the computer's memory."""


class Tape(TorchDispatchMode):
    """Every operation inside, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        assert func.overloadpacket.__name__ not in UNRECORDABLE
        self.done.append((func, args, kwargs or {}, out))
        return out

    def again(self) -> None:
        for func, args, kwargs, out in self.done:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@dataclass
class Tapes:
    """Records on tapes, and counts what is recorded and repeated."""

    bytes: int = 0
    recorded: int = 0
    repeated: int = 0

    def __call__(self, body: Callable[[], object]) -> Callable[[], None]:
        self.recorded += 1
        body()
        with Tape() as tape:
            body()

        def again() -> None:
            self.repeated += 1
            tape.again()

        return again


def pair(spec: WanSpec = SPEC, room: int = 12) -> tuple[Swift, Swift, Tapes]:
    """The same network as it comes, and recorded."""
    tapes = Tapes()
    _, usual = networks(spec, room)
    _, other = networks(spec, room)
    return usual, Swift(other.wan, room, torch.float32, recorder=tapes), tapes


def video(net: Swift, chunks: Chunks | None, seed: int = 0, guidance: float = 1.0, switch: bool = False) -> Tensor:
    sources = tuple(Draws(seed)("video", i) for i in range(2))
    mover, start = Mover(net, guidance, torch.zeros_like), noise()[:, :, : 10 if chunks and chunks.first else 12]
    change = (6, cond(seed + 9)) if switch else None
    context = Context(cond(seed), Renoise(sources))
    states = walk(mover, start + seed, context, (1.0, 0.9, 0.6), "sde", chunks=chunks, switch=change)
    return torch.cat([state.x for state in states if not state.sigma], 2)


@pytest.mark.parametrize("spec", [SPEC, SHAPES], ids=["real", "shapes"])
@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_what_is_repeated_gives_the_same_videos(policy: CachePolicy, spec: WanSpec) -> None:
    """The second video has another caption and other noise; the third looks at its frames in chunks of another size."""
    usual, other, tapes = pair(spec)
    size = 3 if not isinstance(policy, Window) or policy.window - policy.sink >= 3 else 1
    for seed, chunks in ((0, Chunks(size, policy)), (1, Chunks(size, policy)), (2, Chunks(1, policy))):
        assert torch.equal(video(other, chunks, seed), video(usual, chunks, seed))
    assert tapes.repeated > 2 * tapes.recorded


def test_the_same_under_guidance_a_new_caption_and_at_once() -> None:
    chunks = Chunks(3, Window(window=9, sink=3))
    usual, other, _ = pair()
    for seed, guidance, switch in ((0, 3.0, False), (1, 1.0, True), (2, 3.0, True), (3, 1.0, False)):
        assert torch.equal(video(other, chunks, seed, guidance, switch), video(usual, chunks, seed, guidance, switch))
    usual, other, tapes = pair(replace(SPEC, timeless=False))
    for seed in (0, 1):
        assert torch.equal(video(other, None, seed), video(usual, None, seed))
    assert (tapes.recorded, tapes.repeated) == (1, 5)  # two videos of three steps


@pytest.mark.parametrize(
    ("chunks", "layouts"),
    [
        (Chunks(3), 4),  # 3, 6, 9, 12 frames are read
        (Chunks(3, first=1), 4),
        (Chunks(3, Window(window=6, sink=3)), 2),  # the first chunk; all others, behind it
        (Chunks(3, Window(window=6)), 3),  # the second half of the memory and its first, by turns
        (Chunks(1, Relative(window=6, sink=2)), 6 + 3),  # filled from 1 to 6, then the places 2, 3 and 4, and 5 as before
    ],
    ids=repr,
)
def test_a_layout_is_recorded_once(chunks: Chunks, layouts: int) -> None:
    _, other, tapes = pair()
    video(other, chunks)
    found = chunks.sizes(10 if chunks.first else 12)
    evaluations = 4 * len(found) - 1  # three steps, and what is remembered of all but the last
    assert (tapes.recorded, tapes.repeated) == (layouts, evaluations - layouts)
    video(other, chunks, 1)
    assert (tapes.recorded, tapes.repeated) == (layouts, 2 * evaluations - layouts)


def test_with_too_many_layouts_the_rest_runs_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "KEPT", 2)
    usual, other, tapes = pair()
    for seed in (0, 1):
        assert torch.equal(video(other, Chunks(3), seed), video(usual, Chunks(3), seed))
    assert tapes.recorded == 2


def test_one_video_at_a_time() -> None:
    """A new video takes the memory of the last, and what still holds that is refused."""
    _, other, _ = pair()
    x, text, level = noise(3), cond(), torch.full((2,), 0.5)
    with torch.no_grad():
        cache = other.remember(x, text, other.begin(text, Full()))
        other(x, level, text, cache)
        assert cache.holder.memory is not None
        first = cache.holder.memory.keys[0].data_ptr()
        second = other.remember(x, text, other.begin(text, Full()))
        assert second.holder.memory is not None
        assert second.holder.memory.keys[0].data_ptr() == first
        with pytest.raises(ValueError, match="this cache of 3 latent frames has been overwritten by later ones"):
            other(x, level, text, cache)


def test_a_result_is_not_overwritten() -> None:
    _, other, _ = pair()
    x, text = noise(3), cond()
    with torch.no_grad():
        cache = other.begin(text, Full())
        first = other(x, torch.full((2,), 0.5), text, cache).velocity
        kept = first.clone()
        assert not torch.equal(other(x, torch.full((2,), 0.9), text, cache).velocity, first)
    assert torch.equal(first, kept)


def test_what_cannot_be_recorded_is_named() -> None:
    sampling = Sampling((1.0,))
    with pytest.raises(WrongUse, match="there are none on cpu: use --device cuda or leave --graphs out"):
        checked(Running(graphs=True), sampling)
    with pytest.raises(WrongUse, match="those of stock are not"):
        checked(Running("cuda", network="stock", graphs=True), sampling)
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="there is no cuda here"):
            checked(Running("cuda", graphs=True), sampling)


def test_the_command_shows_swift_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tapes in place of graphs, of which a CPU has none."""
    tapes = Tapes(bytes=10**15)
    monkeypatch.setattr(ready, "CudaGraphs", lambda: tapes)
    for module in (ready, untrained):
        monkeypatch.setattr(module, "checked", lambda running, sampling: torch.float32)
    words = ["random:longlive@miniature", "--network", "plain,swift", "--graphs", "--scopes", "denoise", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["speed", *words, "--repeats", "2", "--warm", "1"])
    assert done.exit_code == 0, done.output
    assert tapes.recorded == 4 + 2  # the window fills with four chunks, and has room for three in two more places
    table = [line.split("|") for line in done.output.splitlines() if line.startswith("| ")]
    said = [(row[1].strip(), row[12].strip()) for row in table if len(row) > 12]
    assert said[0][1] == "Peak GB"
    assert [(name, float(peak) > 10**5) for name, peak in said[2:5]] == [
        ("plain", False),
        ("swift", False),
        ("swift+graphs", True),
    ]


def test_the_command_says_what_is_recorded(tmp_path: Path) -> None:
    for words, said in (
        (["--network", "plain"], "--graphs records the evaluations of swift: name it under --network"),
        ([], "CUDA graphs are a GPU's, there are none on cpu"),
    ):
        done = CliRunner().invoke(app, ["speed", "random:longlive@miniature", "--graphs", *words, "--out", str(tmp_path)])
        assert done.exit_code != 0
        assert said in done.output + str(done.exception)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_cuda_graphs_give_the_same_videos() -> None:
    _, usual = networks()
    _, other = networks()
    recorded = Swift(other.wan.cuda(), 12, torch.float32, recorder=graphs.CudaGraphs())
    text, chunks = cond().cuda(), Chunks(3, Window(window=6, sink=3))
    found = []
    for net in (Swift(usual.wan.cuda(), 12, torch.float32), recorded):
        states = walk(Mover(net), noise().cuda(), Context(text, None), (1.0, 0.6), chunks=chunks)
        found.append(torch.cat([state.x for state in states if not state.sigma], 2))
    assert torch.allclose(*found, atol=1e-4)
    assert recorded.recorded_bytes > 0
    assert found[0].shape[1:] == LATENT
    assert text.shape[2] == WORDS
