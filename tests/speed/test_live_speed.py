"""The causal sampler against diffusers' stock pipeline at as many evaluations, and against recomputing the history."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from table import Figure, core_seconds, note

from salt_bench.types import Live, Prompt, Running
from salt_train.backbones.wan import Wan, WanSpec
from salt_train.caches.full import Full
from salt_train.caches.window import Window
from salt_train.codecs.wan_vae import WanVAE, WanVAEWeights
from salt_train.flow import even
from salt_train.live.ready import live
from salt_train.live.sampler import Reader
from salt_train.recipe import Sampling
from salt_train.rollout import Chunks

SPEC = WanSpec(192, 4, 4, 576, frequencies=64, waves=0, precondition=False, timeless=True)
CODEC = WanVAE("", frames=81, height=128, width=128)  # 21 latent frames of 64 tokens
STEPS, ROUNDS, WORDS = 4, 5, 16
PROMPT = Prompt("speed", "anything", "speed")


def model(network: str, cache: Full | Window) -> Live:
    torch.manual_seed(0)
    net = Wan(SPEC, CODEC.shape(), WORDS, torch.ones(CODEC.channels))
    vae = WanVAEWeights(CODEC, AutoencoderKLWan(base_dim=4, z_dim=16, num_res_blocks=1).requires_grad_(False).eval())
    cond, sampling = torch.randn(1, 16, WORDS), Sampling(even(STEPS, 5.0), "sde", chunks=Chunks(3, cache))
    reader = Reader(lambda _: cond, torch.zeros_like)
    return live(net, vae, reader, lambda _: PROMPT, sampling, Running(network=network))


def test_four_ways_to_the_same_number_of_frames(benchmark: Any) -> None:
    models = {name: model(name, Full()) for name in ("swift", "plain", "recompute", "stock")}
    models |= {f"{name}, window": model(name, Window(window=12, sink=3)) for name in ("swift", "plain")}

    def make(name: str) -> None:
        assert sum(models[name].start(PROMPT, 0, "denoise")) == 81

    def measured() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(ROUNDS + 1):
            for name in models:  # taken in turn, so that what else runs here meets all of them
                found[name].append(core_seconds(lambda name=name: make(name)))
        return found

    found = benchmark.pedantic(measured, rounds=1)
    middle = {name: statistics.median(seconds[1:]) for name, seconds in found.items()}
    for name, seconds in middle.items():
        note(Figure(f"81 frames, {name}", seconds, "core-s"))
    note(Figure("recomputing the history over swift", middle["recompute"] / middle["swift"], "", 2.0))
    note(Figure("plain over swift, uncompiled", middle["plain"] / middle["swift"], ""))
    note(Figure("stock over swift, as many evaluations", middle["stock"] / middle["swift"], ""))
    note(Figure("the same, a window of 12", middle["stock"] / middle["swift, window"], ""))
