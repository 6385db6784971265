"""How the text-video model of the embedded world is fitted: open_clip's loss, training captions, and seeds of its own.

`nox -s semantic` runs this file: it fits the model anew on one thread and writes its weights, the same bytes on the same
machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from salt_bench import files
from salt_bench.judges.networks.shapes_clip import FRAMES, SIDE, WEIGHTS, collages, fresh, pictures, tokens
from salt_bench.judges.shared.captions import motion, style, wrong
from salt_bench.rng import Draws
from salt_bench.types import Prompt
from salt_bench.worlds.shapes import ShapesWorld, sentence

if TYPE_CHECKING:
    from open_clip.model import CLIP

SEEDS = (1_000_000, 1_000_001)
"""Of the videos. No benchmark asks for so large a seed, and its prompts are never training prompts."""


@dataclass(frozen=True)
class Fitting:
    """A batch is `families` of `members` captions: one, and others that differ from it in one thing. `rate` is AdamW's."""

    steps: int = 900
    families: int = 16
    members: int = 8
    rate: float = 3e-3
    warmup: int = 30
    decay: float = 0.05
    seed: int = 0


def fit(fitting: Fitting) -> Iterator[tuple[CLIP, float]]:
    """The model, always the same object, and its loss, after each step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Draws(fitting.seed)("shapes clip").choice(2**62))
        net = fresh()
    optimizer = torch.optim.AdamW(net.parameters(), fitting.rate, (0.9, 0.98), weight_decay=fitting.decay)
    for step in range(fitting.steps):
        for group in optimizer.param_groups:
            group["lr"] = fitting.rate * _schedule(step, fitting)
        loss = _loss(net, fitting, Draws(fitting.seed)("shapes clip", step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        net.logit_scale.data.clamp_(max=math.log(100))  # CLIP's own bound (Radford et al. 2021, section 2.5)
        yield net, float(loss.detach())


def _schedule(step: int, fitting: Fitting) -> float:
    """A linear rise, then half a cosine down to a fiftieth."""
    return min(1.0, (step + 1) / fitting.warmup) * (0.51 + 0.49 * math.cos(math.pi * step / fitting.steps))


def _loss(net: CLIP, fitting: Fitting, draws: Draws) -> Tensor:
    """Captions against videos, motions against the same videos, styles against single frames that stand still.

    A phrase comes many times in a batch; the loss is least where it is equally near to all of its videos."""
    from open_clip.loss import ClipLoss

    prompts = families(draws("families"), fitting.families, fitting.members)
    found = _seen(prompts, draws("seed").choice(len(SEEDS)))
    shown = prompts[::4]
    film = degraded(np.concatenate([found, _stills(found[::4], draws("frame"))]), draws("degraded"))
    videos, stills = F.normalize(net.encode_image(pictures(film)), dim=-1).split([len(prompts), len(shown)])
    scale, loss = net.logit_scale.exp(), ClipLoss()
    captions = loss(videos, _texts(net, [p.text for p in prompts]), scale)
    motions = loss(videos, _texts(net, [motion(p.factors) for p in prompts]), scale)
    styles = loss(stills, _texts(net, [style(p.factors) for p in shown]), scale)
    return captions + 0.5 * motions + 0.5 * styles


def families(draws: Draws, count: int, members: int) -> list[Prompt]:
    """`count` training prompts, each followed by `members` - 1 training prompts whose captions differ from it in one thing."""
    rng, found = draws.generator(), []
    for first in ShapesWorld().batch(draws("first"), count):
        near = _near(first.id)
        chosen = rng.choice(len(near), members - 1, replace=len(near) < members - 1)
        found += [first, *(near[i] for i in chosen)]
    return found


@cache
def _near(name: str) -> tuple[Prompt, ...]:
    """The training prompts whose captions differ in one thing from that of the training prompt called `name`."""
    texts = (sentence(other) for options in wrong(_training()[name][1].factors).values() for other in options)
    return tuple(_by_text()[text] for text in texts if text in _by_text())


@cache
def _by_text() -> dict[str, Prompt]:
    return {prompt.text: prompt for prompt in ShapesWorld().prompts("train")}


@cache
def _training() -> dict[str, tuple[int, Prompt]]:
    """id → place and prompt, of all training prompts."""
    return {prompt.id: (place, prompt) for place, prompt in enumerate(ShapesWorld().prompts("train"))}


@cache
def _films(seed: int) -> np.ndarray:
    """The pictures of all training prompts' videos, in their order: uint8 (N, 48, 96, 3)."""
    prompts = ShapesWorld().prompts("train")
    parts = (prompts[i : i + 512] for i in range(0, len(prompts), 512))
    return np.concatenate([collages(four(ShapesWorld().render(part, seed))) for part in parts])


def _seen(prompts: Sequence[Prompt], which: int) -> np.ndarray:
    return _films(SEEDS[which])[[_training()[prompt.id][0] for prompt in prompts]]


def four(videos: np.ndarray) -> np.ndarray:
    """Evenly spaced frames of videos (B, T, H, W, C)."""
    return videos[:, np.linspace(0, videos.shape[1] - 1, FRAMES).round().astype(int)]


def _stills(found: np.ndarray, draws: Draws) -> np.ndarray:
    """The pictures of videos that stand still at one of the four frames which are in the pictures `found`."""
    chosen = draws.generator().integers(FRAMES, size=len(found))
    frames = found[:, :SIDE].reshape(len(found), SIDE, FRAMES, SIDE, 3)[np.arange(len(found)), :, chosen]
    return collages(frames[:, None].repeat(FRAMES, 1))


def degraded(found: np.ndarray, draws: Draws) -> np.ndarray:
    """Pictures as a codec or a model might leave them, float32: a little brighter or darker, and half of them noisy, by up to
    12 grey levels."""
    rng, one = draws.generator(), (len(found), 1, 1, 1)
    gain, reach = rng.uniform(0.93, 1.07, one), np.maximum(rng.uniform(-12, 12, one), 0)
    grain = np.frombuffer(rng.bytes(found.size), np.int8).reshape(found.shape)
    return np.clip(found * gain.astype(np.float32) + grain * (reach / 128).astype(np.float32), 0, 255)


def _texts(net: CLIP, texts: Sequence[str]) -> Tensor:
    """Unit vectors (B, D); what is said twice is read once."""
    places = {one: place for place, one in enumerate(dict.fromkeys(texts))}
    return F.normalize(net.encode_text(tokens(list(places))), dim=-1)[[places[one] for one in texts]]


def packed(net: CLIP) -> bytes:
    """The weights as a safetensors file, float16."""
    from safetensors.torch import save

    return save({name: value.half().contiguous() for name, value in net.state_dict().items()})


def main() -> None:
    """Fits the model and writes its weights, whole or not at all."""
    from rich.progress import track

    torch.set_num_threads(1)
    fitting = Fitting()
    for net, _ in track(fit(fitting), "fitting", total=fitting.steps):
        data = net
    files.write_bytes(WEIGHTS, packed(data))
    print(f'{WEIGHTS} is written; state its hash in shapes_clip.py: WEIGHTS_SHA256 = "{files.digest(WEIGHTS)}"')


if __name__ == "__main__":
    main()
