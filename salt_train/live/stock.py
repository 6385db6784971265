"""diffusers' own Wan pipeline, waited for like any sampler: what a causal sampler is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from salt_bench import record
from salt_bench.types import SCOPES, Prompt
from salt_train.backbones.wan import Wan
from salt_train.codecs.wan_vae import WanVAEWeights
from salt_train.live import work
from salt_train.live.sampler import LiveSampler, Ready, known
from salt_train.live.stopwatch import Queue
from salt_train.setups.wan21 import SHIFT


def transformer(net: Wan) -> Any:
    """The stock class with `net`'s own weights (shared), its own attention and its own rotary embedding."""
    from diffusers import WanTransformer3DModel

    config = dict(net.net.config)
    with torch.device("meta"):
        made = WanTransformer3DModel.from_config(config)
    made.load_state_dict(net.net.state_dict(), assign=True)
    fresh = WanTransformer3DModel.from_config(config | {"num_layers": 0}).rope
    made.rope = fresh.to(next(net.net.parameters()).device)
    return made


@dataclass(eq=False)
class StockSampler:
    """All frames at once with Euler's steps, as many as the grid of `like` has; the text comes as embeddings. Under guidance
    it makes two passes where ours make one of twice the batch."""

    like: LiveSampler
    pipeline: Any
    codec: WanVAEWeights
    fps: float

    @classmethod
    def of(cls, like: LiveSampler, net: Wan, codec: WanVAEWeights) -> StockSampler:
        from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

        scheduler = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
        pipeline: Any = WanPipeline(None, None, codec.vae, scheduler, transformer(net))
        pipeline.set_progress_bar_config(disable=True)
        return cls(like, pipeline, codec, like.fps)

    @property
    def steady(self) -> int:
        return -1

    @property
    def queue(self) -> Queue:
        return self.like.queue

    def prompt(self, text: str) -> Prompt:
        return self.like.prompt(text)

    def start(self, prompt: Prompt, seed: int, scope: str) -> Iterator[int]:
        known(scope)
        ready = None if scope == SCOPES[2] else self.like.ready(prompt, seed)
        self.queue.wait()
        return self._video(prompt, seed, scope, ready)

    def _video(self, prompt: Prompt, seed: int, scope: str, ready: Ready | None) -> Iterator[int]:
        latents = self.denoised(ready or self.like.ready(prompt, seed))
        if scope != SCOPES[0]:
            frames = self.codec.decode(latents)
            if scope == SCOPES[2]:
                self.queue.fetched(frames)
        self.queue.wait()
        yield self.like.frames(latents.shape[2])

    def denoised(self, ready: Ready) -> Tensor:
        """Latents (1, C, F, H, W)."""
        _, _, frames, height, width = ready.noise.shape
        codec, sampling = self.codec.codec, self.like.sampling
        return self.pipeline(
            prompt_embeds=ready.context.cond,
            negative_prompt_embeds=ready.null,
            height=height * codec.space,
            width=width * codec.space,
            num_frames=(frames - 1) * codec.time + 1,
            num_inference_steps=len(sampling.levels),
            guidance_scale=sampling.guidance,
            latents=ready.noise,
            output_type="latent",
        ).frames

    def work(self) -> float:
        like, sampling = self.like, self.like.sampling
        return sampling.sides * work.at_once(like.spec, like.latent, like.words, len(sampling.levels))

    def peak(self) -> int:
        return self.queue.peak()

    def notes(self) -> Mapping[str, Any]:
        return {**self.like.notes(), "sampling": record.dump(replace(self.like.sampling, chunks=None, update="ode"))}
