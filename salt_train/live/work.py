"""How many floating-point operations a Wan transformer takes: matrix products and attentions, two per multiply-add."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from salt_train.backbones.wan import WanSpec
    from salt_train.rollout import Chunks

Latent = tuple[int, int, int, int]


def evaluation(spec: WanSpec, latent: Latent, new: int, seen: int, words: int) -> float:
    """One pass over `new` latent frames of a video of `latent` (C, F, H, W) that attend to `seen` frames, their own included,
    and to a caption of `words` tokens whose keys and values are known."""
    width, tokens = spec.width, spec.tokens(latent)
    per_block = 6 * width**2 + 2 * width * spec.hidden + 2 * width * (seen * tokens + words)
    ends = width * math.prod(spec.patch) * (2 * latent[0] + 6 * spec.waves)
    time = width * spec.frequencies + 7 * width**2
    return 2 * (new * tokens * (spec.layers * per_block + ends) + time)


def chunked(spec: WanSpec, latent: Latent, words: int, chunks: Chunks, steps: int, again: bool = False) -> float:
    """One video chunk by chunk, `steps` evaluations of each and one that remembers it, but for the last. With `again` there is
    no memory: every evaluation looks at the whole history, each of its chunks at those before it."""
    sizes, seen = chunks.sizes(latent[1]), chunks.sees(latent[1])
    first_steps = len(chunks.first_grid) or steps
    once = [evaluation(spec, latent, new, all_of_it, words) for new, all_of_it in zip(sizes, seen, strict=True)]
    if again:
        return sum(total * (steps if i else first_steps) for i, total in enumerate(accumulate(once)))
    return sum(one * ((steps if i else first_steps) + (i + 1 < len(sizes))) for i, one in enumerate(once))


def at_once(spec: WanSpec, latent: Latent, words: int, steps: int) -> float:
    """One video of all frames at once."""
    return steps * evaluation(spec, latent, latent[1], latent[1], words)
