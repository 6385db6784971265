"""A network, a codec and what reads captions, made ready on a device: a model whose speed is measured."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from salt_bench.errors import UserError, WrongUse
from salt_bench.types import Live, Prompt, Running
from salt_bench.worlds.base import World
from salt_train.backbones.base import Backbone, frozen
from salt_train.backbones.wan import Wan
from salt_train.codecs import Fitted
from salt_train.codecs.captions import Captions
from salt_train.codecs.umt5 import NEGATIVE, UMT5Captions
from salt_train.codecs.wan_vae import WanVAEWeights
from salt_train.live.cast import Cast
from salt_train.live.graphs import CudaGraphs
from salt_train.live.recompute import Recompute
from salt_train.live.sampler import LiveSampler, Reader
from salt_train.live.swift import Swift
from salt_train.prompt_file import PromptFile
from salt_train.recipe import Sampling
from salt_train.rollout import Chunks
from salt_train.sampler import FlowSampler

ANY = "a red panda climbs a tree in the rain"
NETWORKS = ("swift", "plain", "recompute", "stock")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def going(sampler: FlowSampler, running: Running) -> Live:
    """A trained or released model."""
    if not isinstance(sampler.net, Wan):
        raise WrongUse(f"speed is measured of Wan transformers, got a {type(sampler.net).__name__}")
    world = sampler.captions.world
    reader, codec = reading(sampler.captions, running), copy.deepcopy(sampler.codec)
    return live(sampler.net, codec, reader, lambda text: asked(world, text), sampler.sampling, running)


def live(net: Wan, codec: Fitted, reader: Reader, asks: Callable[[str], Prompt], sampling: Sampling, running: Running) -> Live:
    """The model, run as `running` says.

    Raises WrongUse for a way of running that there is not, UserError for a device that is not there."""
    dtype = checked(running, sampling)
    net.to(running.device)
    codec.to(running.device)
    if isinstance(codec, WanVAEWeights):
        for tensor in (*codec.vae.parameters(), *codec.vae.buffers()):
            tensor.data = tensor.data.to(dtype)
        if running.compiled:
            codec.step.compile()
    spec = codec.codec
    frames = sampling.frames or spec.shape()[1]
    latent = (spec.shape()[0], frames, *spec.shape()[2:])
    made = LiveSampler(
        network(net, sampling.chunks, frames, dtype, running),
        net.spec,
        sampling,
        latent,
        spec.fps,
        reader,
        codec.stream,
        running,
        spec.frames_of,
        asks,
    )
    if running.network != "stock":
        return made
    if not isinstance(codec, WanVAEWeights):
        raise WrongUse("the stock pipeline decodes with Wan's VAE, and this model has another codec: choose another network")
    from salt_train.live.stock import StockSampler

    return StockSampler.of(made, net, codec)


def checked(running: Running, sampling: Sampling) -> torch.dtype:
    """The dtype that is asked for, where everything that is asked for exists."""
    if running.network not in NETWORKS:
        raise WrongUse(f"a network is run as {', '.join(NETWORKS)}, got {running.network!r}")
    if running.dtype not in DTYPES:
        raise WrongUse(f"a dtype is {', '.join(DTYPES)}, got {running.dtype!r}")
    if running.network == "recompute" and sampling.chunks is None:
        raise WrongUse("a model that makes all frames at once has no history to recompute: leave that network out")
    if running.graphs and running.network != "swift":
        raise WrongUse(f"swift's evaluations are recorded as graphs, those of {running.network} are not: leave graphs out")
    if running.graphs and torch.device(running.device).type != "cuda":
        raise WrongUse(f"CUDA graphs are a GPU's, there are none on {running.device}: use --device cuda or leave --graphs out")
    if torch.device(running.device).type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"there is no {running.device} here: use --device cpu")
    return DTYPES[running.dtype]


def network(net: Wan, chunks: Chunks | None, frames: int, dtype: torch.dtype, running: Running) -> Backbone:
    """`net` as it is run."""
    frozen(net)
    if running.network == "swift":
        room = max(chunks.sees(frames)) if chunks else 0
        return Swift(net, room, dtype, running.compiled, CudaGraphs() if running.graphs else None)
    plain = net if dtype == torch.float32 else Cast(net, dtype)
    return Recompute(plain) if running.network == "recompute" else plain


def asked(world: World | PromptFile, text: str) -> Prompt:
    """A text as a prompt; of a synthetic world, which does not read texts, its first test prompt."""
    if isinstance(world, PromptFile):
        return worded(text)
    if text:
        raise WrongUse("the models of a synthetic world read its own captions, not texts: leave --prompt out")
    return world.prompts("test")[0]


def worded(text: str) -> Prompt:
    """A text, or any."""
    return Prompt("speed", text or ANY, "speed")


def reading(captions: Captions | UMT5Captions, running: Running) -> Reader:
    """Reads every caption anew, as someone who types it waits for it."""
    if isinstance(captions, UMT5Captions):
        captions.move(running.device, DTYPES[running.dtype])
        return Reader(lambda prompt: captions.encode(prompt.text)[None], lambda like: captions.encode(NEGATIVE)[None])
    return Reader(lambda prompt: captions([prompt]).to(running.device), captions.null)
